/**
 * The public JavaScript client of Backend.AI, unmodified, as tests call it. The package comes
 * without types and expects a few of a browser's globals; both are dealt with here.
 */
import { createRequire } from 'node:module';
import * as v from 'valibot';

interface JsClientSettings {
  /** Without a slash at the end, since the client appends paths to it. */
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

/** What the client throws when the server refuses. */
const failure = v.object({
  isError: v.literal(true),
  statusCode: v.number(),
  title: v.string(),
  description: v.string(),
});
type JsClientFailure = v.InferOutput<typeof failure>;

export interface JsClient {
  /**
   * Calls the method at `path`, such as `get_info` or `computeSession.list`.
   * @returns what the client returns. @throws whatever the client throws.
   */
  call(path: string, ...args: readonly unknown[]): Promise<unknown>;
  /** The same for calls that must be refused. @throws Error when it succeeds. */
  refused(path: string, ...args: readonly unknown[]): Promise<JsClientFailure>;
  property(name: string): unknown;
}

const isObject = (value: unknown): value is object =>
  (typeof value === 'object' && value !== null) || typeof value === 'function';

function get(target: unknown, name: string): unknown {
  const value: unknown = isObject(target) ? Reflect.get(target, name) : undefined;
  if (value === undefined) throw new Error(`The JavaScript client has no '${name}'.`);
  return value;
}

function construct(target: unknown, args: readonly unknown[]): unknown {
  if (typeof target !== 'function') throw new Error('The JavaScript client exports no such class.');
  const made: unknown = Reflect.construct(target, [...args]);
  return made;
}

/** Gives the process the global that the client keeps its log in. @returns takes it away. */
export function provideBrowserGlobals(): () => void {
  const items = new Map<string, string>();
  const localStorage = {
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => items.set(key, value),
    removeItem: (key: string) => items.delete(key),
  };
  const previous = Object.getOwnPropertyDescriptor(globalThis, 'localStorage');
  Object.defineProperty(globalThis, 'localStorage', { value: localStorage, configurable: true });
  return () => {
    if (previous) Object.defineProperty(globalThis, 'localStorage', previous);
    else Reflect.deleteProperty(globalThis, 'localStorage');
  };
}

export async function openJsClient(settings: JsClientSettings): Promise<JsClient> {
  const { endpoint, accessKey, secretKey } = settings;
  const require = createRequire(import.meta.url);
  const loaded: unknown = require('backend.ai-client/backend.ai-client-node.js');
  const config = construct(get(loaded, 'ClientConfig'), [accessKey, secretKey, endpoint, 'API']);
  const client = construct(get(loaded, 'Client'), [config, 'contract test']);
  const call = async (path: string, ...args: readonly unknown[]): Promise<unknown> => {
    const names = path.split('.');
    const method = names.pop() ?? '';
    const owner = names.reduce(get, client);
    const run = get(owner, method);
    if (typeof run !== 'function') throw new Error(`'${path}' of the client is no method.`);
    const result: unknown = await Reflect.apply(run, owner, [...args]);
    return result;
  };
  // The client learns the version of the API here, and by it the paths of sessions.
  await call('get_manager_version');
  return {
    call,
    async refused(path, ...args) {
      let result: unknown;
      try {
        result = await call(path, ...args);
      } catch (error) {
        return v.parse(failure, error);
      }
      throw new Error(`'${path}' was not refused but answered ${JSON.stringify(result)}`);
    },
    property: (name) => get(client, name),
  };
}
