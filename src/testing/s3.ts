/** A real S3 server (s3rver, from npm), which checks signatures, on a free port of the loopback address. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import S3rver from '@20minutes/s3rver';
import signatures from '@20minutes/s3rver/lib/signature/v4';

/** It leaves out the slash at the end of a bucket's address, which Bun's client signs. */
const { getStringToSign } = signatures;
signatures.getStringToSign = (request, signature) => {
  const isListing = request.querystring.includes('list-type=');
  return getStringToSign(isListing ? { ...request, uri: `${request.uri}/` } : request, signature);
};

export interface TestS3 {
  /** `http://127.0.0.1:port` */
  readonly endpoint: string;
  /** Of the one account that it has; the secret is the same. */
  readonly accessKey: string;
  stop(): Promise<void>;
}

export async function startS3(buckets: readonly string[]): Promise<TestS3> {
  const directory = mkdtempSync(join(tmpdir(), 'bai-s3-'));
  const server = new S3rver({
    ...{ address: '127.0.0.1', port: 0, silent: true, directory },
    configureBuckets: buckets.map((name) => ({ name })),
  });
  const { port } = await server.run();
  let isRunning = true;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    accessKey: 'S3RVER',
    async stop() {
      if (isRunning) await server.close();
      isRunning = false;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
