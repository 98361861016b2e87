/** `config`: what this client would connect to and as whom. */
import { API_VERSION, Client, type ClientConfig, type ServerInfo } from '../../client/index.ts';
import { defineCommand } from '../../common/command.ts';
import { errorMessage } from '../../common/errors.ts';
import { printStatus } from '../../common/glyphs.ts';
import { VERSION } from '../../common/version.ts';
import { resolveConfig } from '../connect.ts';
import { printJson } from '../output/json.ts';
import { signedInName } from '../state.ts';

/** The older of the client's and the server's API versions. */
function negotiated(serverVersion: string): string {
  const major = (text: string) => Number(/^v(\d+)/.exec(text)?.[1] ?? 0);
  const date = (text: string) => text.slice(text.indexOf('.') + 1);
  const order =
    major(serverVersion) - major(API_VERSION) ||
    date(serverVersion).localeCompare(date(API_VERSION));
  return order < 0 ? serverVersion : API_VERSION;
}

const masked = (secret: string): string =>
  secret.length < 16
    ? '*'.repeat(secret.length)
    : `${secret.slice(0, 6)}${'*'.repeat(24)}${secret.slice(-10)}`;

function negotiatedText(version: string, isTTY: boolean): string {
  const [major = '', date = ''] = version.slice(1).split('.');
  return isTTY ? version : `(${major}, '${date}')`;
}

/** As whom: a keypair, or who signed in. */
function identityLines(config: ClientConfig, username: string | null): string[] {
  if (config.endpointType === 'session') {
    return [username === null ? 'Username: (not signed in)' : `Username: "${username}"`];
  }
  if (config.accessKey === '') return ['Access key: (this is an anonymous session)'];
  return [`Access key: "${config.accessKey}"`, `Secret key: "${masked(config.secretKey)}"`];
}

const identityFacts = (config: ClientConfig, username: string | null) =>
  config.endpointType === 'session'
    ? { username }
    : { access_key: config.accessKey, secret_key: masked(config.secretKey) };

export default defineCommand({
  async run({ io, globals }) {
    const config = await resolveConfig({ io, globals });
    const username = signedInName(io.env);
    let server: ServerInfo | null = null;
    let unreachable: unknown = null;
    try {
      server = await new Client(config).serverInfo();
    } catch (error) {
      unreachable = error;
    }
    if (globals.output === 'json') {
      printJson(io, {
        endpoint: config.endpoints.join(','),
        endpoint_type: config.endpointType,
        client_version: VERSION,
        client_api_version: API_VERSION,
        server_version: server?.manager ?? null,
        server_api_version: server?.version ?? null,
        negotiated_api_version: server === null ? null : negotiated(server.version),
        domain: config.domain,
        group: config.group,
        ...identityFacts(config, username),
        hash_type: 'sha256',
        skip_sslcert_validation: config.skipSslCertValidation,
      });
    } else {
      const lines = [
        `API endpoint: ${config.endpoints.join(',')} (mode: ${config.endpointType})`,
        `Client version: ${VERSION} (API: ${API_VERSION})`,
      ];
      if (server !== null) {
        lines.push(
          `Server version: ${server.manager} (API: ${server.version})`,
          `Negotiated API version: ${negotiatedText(negotiated(server.version), io.stdout.isTTY)}`,
        );
      }
      lines.push(
        `Domain name: "${config.domain}"`,
        `Group name: "${config.group}"`,
        ...identityLines(config, username),
        'Signature hash type: sha256',
        `Skip SSL certificate validation? ${config.skipSslCertValidation ? 'True' : 'False'}`,
      );
      io.stdout.write(`${lines.join('\n')}\n`);
    }
    if (unreachable === null) return 0;
    printStatus(io.stderr, 'fail', errorMessage(unreachable));
    return 1;
  },
});
