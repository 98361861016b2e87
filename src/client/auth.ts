/** Signing in and out at a web server, and passwords. */
import * as v from 'valibot';
import { ConnectionError } from './errors.ts';
import { type HttpClient, parseJson, problemOf, readBody } from './http.ts';

const problem = v.looseObject({
  type: v.optional(v.string(), ''),
  title: v.optional(v.string(), ''),
  details: v.optional(v.string(), ''),
});
const loginAnswer = v.object({ authenticated: v.boolean(), data: v.nullish(problem) });
const replaced = v.object({ data: v.nullish(problem) });
const changed = v.object({ error_msg: v.nullish(v.string()) });

/** How upstream's web server and ours ask for the second factor. */
const OTP_DETAILS = 'OTP not provided';
const OTP_TYPE = 'require-totp-authentication';

export type LoginResult =
  | { readonly kind: 'signed-in' }
  | { readonly kind: 'needs-otp' }
  /** `reason` is the server's, in words. */
  | { readonly kind: 'refused'; readonly reason: string };

const reasonOf = (data: v.InferOutput<typeof problem> | null | undefined): string =>
  data?.details || data?.title || 'The server gives no reason.';

export class AuthApi {
  private readonly http: HttpClient;

  constructor(http: HttpClient) {
    this.http = http;
  }

  /** Signs in at a web server; the sign-in is then in the client's `SignIns`. */
  async login(username: string, password: string, otp?: string): Promise<LoginResult> {
    const response = await this.http.exchange({
      method: 'POST',
      path: '/server/login',
      body: { username, password, ...(otp === undefined ? {} : { otp }) },
      hasPassword: true,
    });
    const bytes = await readBody(response);
    const parsed = v.safeParse(loginAnswer, parseJson(bytes));
    if (!parsed.success) {
      if (response.status >= 400) throw problemOf(response, bytes);
      throw new ConnectionError(response.url, 'The answer to the sign-in is not understood.');
    }
    const { authenticated, data } = parsed.output;
    if (authenticated) return { kind: 'signed-in' };
    if (data?.details === OTP_DETAILS || data?.type.endsWith(OTP_TYPE)) {
      return { kind: 'needs-otp' };
    }
    return { kind: 'refused', reason: reasonOf(data) };
  }

  /** @throws ApiError, ConnectionError. */
  async logout(): Promise<void> {
    await this.http.done({ method: 'POST', path: '/server/logout' });
  }

  /**
   * Replaces the caller's password.
   * @returns why the new one is not taken; null when it is.
   * @throws ApiError, ConnectionError.
   */
  async updatePassword(old: string, fresh: string, again: string): Promise<string | null> {
    const response = await this.http.exchange({
      method: 'POST',
      path: '/auth/update-password',
      body: { old_password: old, new_password: fresh, new_password2: again },
      hasPassword: true,
    });
    const bytes = await readBody(response);
    const parsed = v.safeParse(changed, parseJson(bytes));
    // A mismatch is told as `error_msg`, other refusals as a problem document.
    const told = parsed.success ? parsed.output.error_msg : undefined;
    if (told) return told;
    if (response.status >= 400) throw problemOf(response, bytes);
    return null;
  }

  /**
   * Replaces an expired password, without being signed in.
   * @returns why not; null when it is replaced.
   * @throws ApiError, ConnectionError.
   */
  async replaceExpiredPassword(given: {
    domain: string;
    username: string;
    currentPassword: string;
    newPassword: string;
  }): Promise<string | null> {
    const { domain, username, currentPassword, newPassword } = given;
    const passwords = { username, current_password: currentPassword, new_password: newPassword };
    if (this.http.config.endpointType === 'api') {
      const body = { domain, ...passwords };
      await this.http.done({ method: 'POST', path: '/auth/update-password-no-auth', body });
      return null;
    }
    // The web server knows its domain, and answers 200 either way.
    const { data } = await this.http.json(replaced, {
      method: 'POST',
      path: '/server/update-password-no-auth',
      body: passwords,
      hasPassword: true,
    });
    return data ? reasonOf(data) : null;
  }
}
