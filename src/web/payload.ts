/**
 * Request bodies that the WebUI encrypts, so that passwords don't stand in plain text in what
 * proxies and browsers log. The key is derivable by anyone: this is no substitute for HTTPS.
 */
import { createDecipheriv } from 'node:crypto';
import { WebProblem } from './problems.ts';
import { readBody } from './request.ts';

const FORM = /^([A-Za-z0-9]{16}):([A-Za-z0-9+/=\s]+)$/;

/**
 * The plain body of `<iv>:<base64>` text.
 * @param origin the address that the browser encrypted for, as config.toml gave it.
 * @throws WebProblem generic-bad-request when it is not that.
 */
export function decryptPayload(text: string, origin: string): Uint8Array<ArrayBuffer> {
  const match = FORM.exec(text.trim());
  const [, iv = '', ciphertext = ''] = match ?? [];
  const key = `${Buffer.from(origin).toString('base64')}${iv}${iv}`.slice(0, 32);
  try {
    if (match === null) throw new Error('not of the form iv:ciphertext');
    const decipher = createDecipheriv('aes-256-cbc', key, iv);
    const plain = [decipher.update(ciphertext, 'base64'), decipher.final()];
    const bytes = new Uint8Array(Buffer.concat(plain));
    // One wrong key in 256 yields well-formed padding, but no JSON.
    JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return bytes;
  } catch {
    throw new WebProblem(
      'generic-bad-request',
      `The request body cannot be decrypted: it was not encrypted for ${origin}. Behind a proxy, ` +
        'set service.force-endpoint-protocol and pass the Host header on.',
    );
  }
}

export const isEncrypted = (request: Request): boolean =>
  request.headers.get('x-backendai-encoded')?.toLowerCase() === 'true';

/** The body, decrypted if it came encrypted. */
export async function readPlainBody(
  request: Request,
  origin: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const body = await readBody(request);
  return isEncrypted(request) ? decryptPayload(new TextDecoder().decode(body), origin) : body;
}
