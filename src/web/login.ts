/** `/server/*`: signing the browser in and out. */
import * as v from 'valibot';
import { API_VERSION } from '../common/api-signing.ts';
import type { Clock } from '../common/clock.ts';
import { errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import { isWebSessionId } from '../common/web-session.ts';
import type { EndpointPool } from './endpoints.ts';
import type { LoginThrottle } from './login-throttle.ts';
import { readPlainBody } from './payload.ts';
import { WebProblem } from './problems.ts';
import { forwardedHeaders } from './proxy.ts';
import { type Incoming, parseJson, publicOrigin } from './request.ts';
import { type BrowserSessions, cookieOf } from './session.ts';

/** Longest wait for the manager's answer about a password. */
const ANSWER_TIMEOUT_MS = 30_000;

export interface LoginDependencies {
  readonly pool: EndpointPool;
  readonly sessions: BrowserSessions;
  readonly throttle: LoginThrottle;
  readonly clock: Clock;
  readonly log: Logger;
  /** The domain that people sign in to. */
  readonly domain: string;
  readonly forcedScheme: 'http' | 'https' | null;
  /** The field or cookie in which sign-in tokens come. */
  readonly authTokenName: string;
}

const credentials = v.looseObject({ username: v.string(), password: v.string() });
const replacement = v.object({
  username: v.string(),
  current_password: v.string(),
  new_password: v.string(),
});

const managerProblem = v.object({
  type: v.string(),
  title: v.string(),
  msg: v.optional(v.string(), ''),
});
const authorized = v.object({
  data: v.variant('response_type', [
    v.object({
      response_type: v.literal('success'),
      access_key: v.string(),
      secret_key: v.string(),
      role: v.nullish(v.string()),
      status: v.nullish(v.string()),
      session_token: v.pipe(v.string(), v.check(isWebSessionId)),
    }),
    v.object({ response_type: v.literal('REQUIRE_TWO_FACTOR_REGISTRATION'), token: v.string() }),
    v.object({ response_type: v.literal('REQUIRE_TWO_FACTOR_AUTH') }),
  ]),
});
const changed = v.object({ password_changed_at: v.string() });

type SignedIn = Extract<v.InferOutput<typeof authorized>['data'], { response_type: 'success' }>;

const typeOf = (slug: string) => `https://api.backend.ai/probs/${slug}`;

const badGateway = () =>
  new WebProblem('bad-gateway', 'The manager cannot be reached at present. Try again later.');

/** @throws WebProblem bad-gateway when the manager's answer is none that is known. */
function parseAnswer<S extends v.GenericSchema<unknown, unknown>>(
  schema: S,
  json: unknown,
): v.InferOutput<S> {
  const parsed = v.safeParse(schema, json);
  if (!parsed.success) throw badGateway();
  return parsed.output;
}

export class Login {
  readonly #deps: LoginDependencies;

  constructor(deps: LoginDependencies) {
    this.#deps = deps;
  }

  async check({ request }: Incoming): Promise<Response> {
    const { id, token } = await this.#deps.sessions.load(request);
    const data = token && {
      access_key: token.access_key,
      role: token.role ?? null,
      status: token.status ?? null,
    };
    return Response.json({ authenticated: token !== null, data, session_id: id });
  }

  async login(incoming: Incoming): Promise<Response> {
    const { sessions, throttle, domain } = this.#deps;
    const { request } = incoming;
    if ((await sessions.load(request)).token !== null) {
      throw new WebProblem('generic-bad-request', 'You have already logged in.');
    }
    const body = parseJson(credentials, await this.#body(request));
    await throttle.check(body.username);
    const answer = await this.#ask(incoming, '/auth/authorize', {
      ...body,
      type: 'keypair',
      domain,
    });
    if (answer.problem) {
      if (answer.status === 401) await throttle.failed(body.username);
      return Response.json(
        { authenticated: false, data: answer.problem },
        { status: answer.status },
      );
    }
    const { data } = parseAnswer(authorized, answer.json);
    if (data.response_type !== 'success') return Response.json(secondFactor(data));
    await throttle.succeeded(body.username);
    return this.#open(data);
  }

  /** Signs in with a token instead of a password; refusals are answered with 200, as clients expect. */
  async loginByToken(incoming: Incoming): Promise<Response> {
    const { sessions, domain, authTokenName } = this.#deps;
    const { request } = incoming;
    if ((await sessions.load(request)).token !== null) {
      throw new WebProblem('generic-bad-request', 'You have already logged in.');
    }
    const body = parseJson(v.record(v.string(), v.unknown()), await this.#body(request));
    const stoken = body[authTokenName] || cookieOf(request, authTokenName);
    if (!stoken) {
      throw new WebProblem('invalid-api-params', `Send the token as ${authTokenName}.`);
    }
    const answer = await this.#ask(incoming, '/auth/authorize', {
      ...body,
      stoken,
      type: 'keypair',
      domain,
      // The manager wants both, and looks at neither when there is a token.
      username: 'fake-email',
      password: 'fake-pwd',
    });
    if (answer.problem) return Response.json({ authenticated: false, data: answer.problem });
    const { data } = parseAnswer(authorized, answer.json);
    return data.response_type === 'success' ? this.#open(data) : Response.json(secondFactor(data));
  }

  /** Opens the browser's session with what the manager gave. */
  async #open(data: SignedIn): Promise<Response> {
    const { access_key, secret_key, role, status } = data;
    const token = { type: 'keypair' as const, access_key, secret_key, role, status };
    const headers = await this.#deps.sessions.open(data.session_token, token);
    return Response.json({ authenticated: true, data: { access_key, role, status } }, { headers });
  }

  async logout(incoming: Incoming): Promise<Response> {
    const { id } = await this.#deps.sessions.load(incoming.request);
    const headers = await this.#deps.sessions.close(id);
    if (id !== null) {
      // The browser is signed out here in any case; the manager only keeps the books.
      await this.#ask(incoming, '/auth/logout', { session_token: id }).catch((error) => {
        this.#deps.log.warn('a sign-out did not reach the manager', { error: errorMessage(error) });
      });
    }
    return new Response(null, { headers });
  }

  async extend({ request }: Incoming): Promise<Response> {
    const { id, token } = await this.#deps.sessions.load(request);
    if (id === null || token === null) {
      throw new WebProblem('auth-failed', 'You are not signed in.');
    }
    const { headers, expires } = await this.#deps.sessions.extend(id, token);
    return Response.json({ status: 201, expires: expires.toISOString() }, { headers });
  }

  async replacePassword(incoming: Incoming): Promise<Response> {
    const { throttle, domain } = this.#deps;
    const body = parseJson(replacement, await this.#body(incoming.request));
    await throttle.check(body.username);
    const path = '/auth/update-password-no-auth';
    const answer = await this.#ask(incoming, path, { ...body, domain });
    if (answer.problem) {
      if (answer.status === 401) await throttle.failed(body.username);
      return Response.json({ data: answer.problem, password_changed_at: null });
    }
    return Response.json({ data: null, ...parseAnswer(changed, answer.json) });
  }

  #body(request: Request): Promise<Uint8Array> {
    return readPlainBody(request, publicOrigin(request, this.#deps.forcedScheme));
  }

  /** Asks the first manager, unsigned. @throws WebProblem bad-gateway when it does not answer. */
  async #ask(incoming: Incoming, path: string, json: unknown) {
    const headers = forwardedHeaders(incoming);
    headers.delete('cookie');
    headers.delete('accept-encoding');
    headers.set('content-type', 'application/json');
    headers.set('X-BackendAI-Version', API_VERSION);
    const late = new AbortController();
    const timer = this.#deps.clock.timer(ANSWER_TIMEOUT_MS, () => late.abort());
    try {
      const response = await fetch(`${this.#deps.pool.first().url}${path}`, {
        method: 'POST',
        headers,
        body: JSON.stringify(json),
        redirect: 'error',
        signal: AbortSignal.any([incoming.request.signal, late.signal]),
      });
      const { status } = response;
      const answer: unknown = await response.json();
      if (response.ok) return { status, json: answer, problem: null };
      const { type, title, msg: details } = v.parse(managerProblem, answer);
      return { status, json: null, problem: { type, title, details: details || title } };
    } catch (error) {
      this.#deps.log.warn('a sign-in did not reach the manager', { error: errorMessage(error) });
      throw badGateway();
    } finally {
      timer.cancel();
    }
  }
}

type SecondFactor =
  | { response_type: 'REQUIRE_TWO_FACTOR_REGISTRATION'; token: string }
  | { response_type: 'REQUIRE_TWO_FACTOR_AUTH' };

function secondFactor(data: SecondFactor) {
  const isNew = data.response_type === 'REQUIRE_TWO_FACTOR_REGISTRATION';
  const title = isNew
    ? 'You must register two-factor authentication.'
    : 'You must authenticate with a one-time password.';
  return {
    authenticated: false,
    data: {
      type: typeOf(isNew ? 'require-totp-registration' : 'require-totp-authentication'),
      title,
      details: title,
      ...(isNew ? { two_factor_registration_token: data.token } : {}),
    },
  };
}
