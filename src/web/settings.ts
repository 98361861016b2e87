/** The web server's settings, as webserver.conf gives them. */
import type { BalancingPolicy } from './endpoints.ts';
import type { CspSettings } from './security.ts';
import type { Conf } from './webui-config.ts';

export interface WebSettings {
  /** `webui`: every unknown path is the WebUI's; `static`: files only. */
  readonly mode: 'webui' | 'static';
  /** Folder with the WebUI's built files; null serves a plain page instead. */
  readonly staticPath: string | null;
  /** What browsers use, when a proxy in front of this server speaks TLS. */
  readonly forcedScheme: 'http' | 'https' | null;
  /** The domain that people sign in to. */
  readonly domain: string;
  /** The field or cookie in which sign-in tokens come. */
  readonly authTokenName: string;
  readonly balancing: BalancingPolicy;
  readonly sessionMaxAgeSec: number;
  readonly sessionExtensionSec: number;
  readonly loginAllowedFailures: number;
  readonly loginBlockSec: number;
  /** Cookies are sent over HTTPS only. */
  readonly cookieSecure: boolean;
  readonly requestPolicies: readonly string[];
  readonly responsePolicies: readonly string[];
  /** Null: no Content-Security-Policy header. */
  readonly csp: CspSettings | null;
  /** All sections, for config.toml. */
  readonly conf: Conf;
}

/** What a web server without a webserver.conf does, as inside `up`. */
export const defaultWebSettings: WebSettings = {
  mode: 'webui',
  staticPath: null,
  forcedScheme: null,
  domain: 'default',
  authTokenName: 'sToken',
  balancing: 'round_robin',
  sessionMaxAgeSec: 604_800,
  sessionExtensionSec: 604_800,
  loginAllowedFailures: 10,
  loginBlockSec: 1200,
  cookieSecure: true,
  requestPolicies: ['reject_metadata_local_link_policy', 'reject_access_for_unsafe_file_policy'],
  responsePolicies: ['set_content_type_nosniff_policy'],
  csp: null,
  conf: {},
};
