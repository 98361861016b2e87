/** The parts of s3rver that the tests use; it has no types of its own. */
declare module '@20minutes/s3rver' {
  export default class S3rver {
    constructor(options: object);
    run(): Promise<{ readonly port: number }>;
    close(): Promise<void>;
  }
}

declare module '@20minutes/s3rver/lib/signature/v4' {
  interface Signed {
    readonly uri: string;
    readonly querystring: string;
  }
  const signatures: {
    getStringToSign(request: Signed, signature: unknown): string;
  };
  export default signatures;
}
