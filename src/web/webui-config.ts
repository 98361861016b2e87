/** `config.toml`, which tells the WebUI in the browser how this cluster wants it to be. */

/** A section of webserver.conf as it was read; keys in kebab-case or snake_case. */
export type Conf = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Name in config.toml, section and key in webserver.conf, and the value without it. */
type Row = readonly [name: string, section: string, key: string, fallback: Scalar | null];
type Scalar = string | number | boolean;

const off = (name: string, key: string): Row => [name, 'service', key, false];
const on = (name: string, key: string): Row => [name, 'service', key, true];

const GENERAL: readonly Row[] = [
  ['apiEndpointText', 'api', 'text', 'Backend.AI API'],
  ['defaultSessionEnvironment', 'ui', 'default-environment', null],
  ['defaultImportEnvironment', 'ui', 'default-import-environment', null],
  ['enableModelFolders', 'ui', 'enable-model-folders', true],
  off('signupSupport', 'enable-signup'),
  off('allowChangeSigninMode', 'allow-change-signin-mode'),
  off('allowAnonymousChangePassword', 'allow-anonymous-change-password'),
  off('allowProjectResourceMonitor', 'allow-project-resource-monitor'),
  off('allowManualImageNameForSession', 'allow-manual-image-name-for-session'),
  off('allowSignupWithoutConfirmation', 'allow-signup-without-confirmation'),
  off('alwaysEnqueueComputeSession', 'always-enqueue-compute-session'),
  ['autoLogout', 'session', 'auto-logout', false],
  off('debug', 'webui-debug'),
  off('maskUserInfo', 'mask-user-info'),
  off('enableContainerCommit', 'enable-container-commit'),
  off('directoryBasedUsage', 'directory-based-usage'),
  off('enableExtendLoginSession', 'enable-extend-login-session'),
  off('enableReservoir', 'enable-reservoir'),
  off('force2FA', 'force-2FA'),
  on('hideAgents', 'hide-agents'),
  on('allowAppDownloadPanel', 'allow-app-download-panel'),
  on('allowCustomResourceAllocation', 'allow-custom-resource-allocation'),
  on('isDirectorySizeVisible', 'is-directory-size-visible'),
  on('enableInteractiveLoginAccountSwitch', 'enable-interactive-login-account-switch'),
  ['singleSignOnVendors', 'service', 'single-sign-on-vendors', null],
  ['ssoRealmName', 'service', 'sso-realm-name', ''],
  ['appDownloadUrl', 'service', 'app-download-url', ''],
  ['systemSSHImage', 'service', 'system-SSH-image', ''],
  ['eduAppNamePrefix', 'service', 'edu-appname-prefix', ''],
  ['defaultFileBrowserImage', 'service', 'default-file-browser-image', ''],
  ['maxCountForPreopenPorts', 'session', 'max-count-for-preopen-ports', 10],
];

const limit = (name: string, key: string, fallback: number): Row => [
  `max${name}PerContainer`,
  'resources',
  `max-${key}-per-container`,
  fallback,
];

const RESOURCES: readonly Row[] = [
  ['openPortToPublic', 'resources', 'open-port-to-public', false],
  ['allowNonAuthTCP', 'resources', 'allow-non-auth-tcp', false],
  ['allowPreferredPort', 'resources', 'allow-preferred-port', false],
  limit('CPUCores', 'cpu-cores', 64),
  limit('Memory', 'memory', 64),
  limit('CUDADevices', 'cuda-devices', 16),
  limit('CUDAShares', 'cuda-shares', 16),
  limit('ROCMDevices', 'rocm-devices', 10),
  limit('TPUDevices', 'tpu-devices', 8),
  limit('IPUDevices', 'ipu-devices', 8),
  limit('ATOMDevices', 'atom-devices', 8),
  limit('Gaudi2Devices', 'gaudi2-devices', 8),
  // The WebUI reads it in this spelling.
  limit('ATOMPlUSDevices', 'atom-plus-devices', 8),
  limit('WarboyDevices', 'warboy-devices', 8),
  limit('Shm', 'shm', 2),
  ['maxFileUploadSize', 'resources', 'max-file-upload-size', 4_294_967_296],
];

const ENVIRONMENTS: readonly Row[] = [
  ['allowlist', 'environments', 'allowlist', null],
  ['showNonInstalledImages', 'environments', 'show-non-installed-images', false],
];
const MENU: readonly Row[] = [
  ['blocklist', 'ui', 'menu-blocklist', null],
  ['inactivelist', 'ui', 'menu-inactivelist', null],
];

/** Rows of `[general]` that config.ini has, too. */
const OLD_GENERAL_ROWS = 5;

const isScalar = (value: unknown): value is Scalar =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';

/** A list becomes comma-joined text; what is neither scalar nor list counts as absent. */
function lookUp(conf: Conf, section: string, key: string): Scalar | null {
  const table = conf[section] ?? {};
  const value = table[key] ?? table[key.replaceAll('-', '_')];
  if (isScalar(value)) return value;
  return Array.isArray(value) ? value.filter(isScalar).join(',') : null;
}

function writeSection(conf: Conf, name: string, rows: readonly Row[], fixed: string[] = []) {
  const lines = rows.map(([key, section, confKey, fallback]) => {
    const value = lookUp(conf, section, confKey) ?? fallback;
    return value === null ? `# ${key} =` : `${key} = ${JSON.stringify(value)}`;
  });
  return [`[${name}]`, ...fixed, ...lines, ''].join('\n');
}

/**
 * The value of `[service.wsproxy] url`. Left empty, the WebUI would ask a server on the computer of
 * whoever uses it each time it ends a session; this server knows what to answer (`pages.ts`).
 */
function wsproxyUrl(conf: Conf, endpoint: string): string {
  const table = conf.service?.wsproxy;
  const url = table && typeof table === 'object' && 'url' in table ? table.url : '';
  return typeof url === 'string' && url !== '' ? url : endpoint;
}

/**
 * The text of config.toml.
 * @param endpoint where the browser reaches this server; requests are encrypted for it.
 */
export function webuiConfigToml(conf: Conf, endpoint: string): string {
  const frontend =
    lookUp(conf, 'pipeline', 'frontend-endpoint') ??
    lookUp(conf, 'pipeline', 'endpoint') ??
    'http://127.0.0.1:9500';
  return [
    writeSection(conf, 'general', GENERAL, [
      `apiEndpoint = ${JSON.stringify(endpoint)}`,
      'connectionMode = "SESSION"',
    ]),
    writeSection(conf, 'resources', RESOURCES),
    writeSection(conf, 'environments', ENVIRONMENTS),
    writeSection(conf, 'menu', MENU),
    writeSection(conf, 'plugin', [['page', 'plugin', 'page', null]]),
    `[wsproxy]\nproxyURL = ${JSON.stringify(wsproxyUrl(conf, endpoint))}\n`,
    writeSection(
      conf,
      'pipeline',
      [['endpoint', 'pipeline', 'endpoint', 'http://127.0.0.1:9500']],
      [`frontendEndpoint = ${JSON.stringify(frontend)}`],
    ),
  ].join('\n');
}

/** The text of config.ini, which old clients read. */
export function webuiConfigIni(conf: Conf, endpoint: string): string {
  return [
    writeSection(conf, 'general', GENERAL.slice(0, OLD_GENERAL_ROWS), [
      `apiEndpoint = ${JSON.stringify(endpoint)}`,
      'connectionMode = "SESSION"',
    ]),
    writeSection(conf, 'environments', ENVIRONMENTS),
    `[wsproxy]\nproxyURL = ${JSON.stringify(wsproxyUrl(conf, endpoint))}\n`,
  ].join('\n');
}
