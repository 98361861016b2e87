/** A real OpenID Connect provider for tests; its pages let anybody in under any name. */
import { createServer } from 'node:http';
import { type Configuration, Provider } from 'oidc-provider';

/** What the provider says of a person. */
export interface ProvidedPerson {
  readonly email?: string;
  readonly email_verified?: boolean;
  readonly name?: string;
  readonly groups?: string[];
}

export interface TestProvider {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  stop(): Promise<void>;
}

/** @param people by the name with which they sign in. */
export async function startTestProvider(options: {
  readonly redirectUri: string;
  readonly people: Readonly<Record<string, ProvidedPerson>>;
}): Promise<TestProvider> {
  const { redirectUri, people } = options;
  let answer: ReturnType<Provider['callback']> = () => Promise.resolve();
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const issuer = `http://127.0.0.1:${address.port}`;
  const [clientId, clientSecret] = ['cluster', 'a secret of the client'];
  const configuration: Configuration = {
    clients: [{ client_id: clientId, client_secret: clientSecret, redirect_uris: [redirectUri] }],
    claims: { email: ['email', 'email_verified'], profile: ['name', 'groups'] },
    pkce: { required: () => true },
    findAccount: (_, sub) => ({ accountId: sub, claims: async () => ({ sub, ...people[sub] }) }),
  };
  answer = new Provider(issuer, configuration).callback();
  return {
    issuer,
    clientId,
    clientSecret,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
