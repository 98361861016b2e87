/** A gRPC service for tests, and a client of it that needs no description of messages: they are bytes. */
import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceError,
} from '@grpc/grpc-js';

const asIs = (bytes: Buffer): Buffer => bytes;
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  ...{ path: `/test.Test/${name}`, requestStream, responseStream },
  ...{ requestSerialize: asIs, requestDeserialize: asIs },
  ...{ responseSerialize: asIs, responseDeserialize: asIs },
});
const methods = {
  metadata: method('Metadata', false, false),
  flood: method('Flood', false, true),
  echo: method('Echo', true, true),
  count: method('Count', true, false),
};
/** Bytes of one message of a flood. */
const PIECE_BYTES = 32 * 1024;

/** What the client sent, with a word in the trailers. */
const metadata: handleUnaryCall<Buffer, Buffer> = ({ metadata: given }, answer) => {
  const trailers = new Metadata();
  trailers.set('x-last', 'word');
  answer(null, Buffer.from(JSON.stringify(given.toJSON())), trailers);
};
const echo: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
  call.on('data', (bytes: Buffer) => void call.write(bytes));
  call.on('end', () => call.end());
};
const count: handleClientStreamingCall<Buffer, Buffer> = (call, answer) => {
  let bytes = 0;
  call.on('data', (piece: Buffer) => {
    bytes += piece.length;
  });
  call.on('end', () => answer(null, Buffer.from(String(bytes))));
};

/** As many bytes as asked for, as fast as they are taken. */
const flood: handleServerStreamingCall<Buffer, Buffer> = (call) => {
  const bytes = Number(call.request.toString());
  let sent = 0;
  const goOn = () => {
    while (sent < bytes && !call.cancelled) {
      sent += PIECE_BYTES;
      if (!call.write(Buffer.alloc(PIECE_BYTES))) {
        call.once('drain', goOn);
        return;
      }
    }
    call.end();
  };
  goOn();
};

export interface GrpcApp {
  readonly port: number;
  stop(): void;
}

export async function startGrpcApp(): Promise<GrpcApp> {
  const server = new Server();
  server.addService(methods, { metadata, echo, count, flood });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return { port, stop: () => server.forceShutdown() };
}

/** A reply, and what came behind it. */
export interface GrpcReply {
  readonly text: string;
  readonly trailers: Metadata;
}

export class GrpcClient {
  readonly #client: Client;

  /** @param ca certificate of a server that uses TLS. */
  constructor(target: string, ca?: Buffer) {
    this.#client = new Client(
      target,
      ca === undefined ? credentials.createInsecure() : credentials.createSsl(ca),
      // Names of TLS are none of addresses.
      { 'grpc.ssl_target_name_override': 'localhost' },
    );
  }

  /** @throws ServiceError of gRPC */
  metadata(fields: Readonly<Record<string, string | Buffer>> = {}): Promise<GrpcReply> {
    const { promise, resolve, reject } = Promise.withResolvers<GrpcReply>();
    const given = new Metadata();
    for (const [name, value] of Object.entries(fields)) given.set(name, value);
    let text = '';
    const call = this.#client.makeUnaryRequest(
      ...[methods.metadata.path, asIs, asIs, Buffer.alloc(0), given],
      (error: ServiceError | null, bytes?: Buffer) => {
        if (error !== null) reject(error);
        else text = String(bytes);
      },
    );
    call.on('status', ({ metadata: trailers }) => resolve({ text, trailers }));
    return promise;
  }

  echo(): ClientDuplexStream<Buffer, Buffer> {
    return this.#client.makeBidiStreamRequest(methods.echo.path, asIs, asIs);
  }

  flood(bytes: number): ClientReadableStream<Buffer> {
    const asked = Buffer.from(String(bytes));
    return this.#client.makeServerStreamRequest(methods.flood.path, asIs, asIs, asked);
  }

  /** Sends so many bytes. @returns how many the application got. */
  async count(bytes: number): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const call = this.#client.makeClientStreamRequest(
      ...[methods.count.path, asIs, asIs],
      (error: ServiceError | null, reply?: Buffer) => {
        if (error === null) resolve(Number(reply));
        else reject(error);
      },
    );
    for (let sent = 0; sent < bytes; sent += PIECE_BYTES) {
      if (!call.write(Buffer.alloc(PIECE_BYTES))) {
        await new Promise((drained) => call.once('drain', drained));
      }
    }
    call.end();
    return await promise;
  }

  close(): void {
    this.#client.close();
  }
}
