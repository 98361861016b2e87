/** What browsers are served: files and nothing beside them, configuration, the plain page. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { parse } from 'smol-toml';
import { systemClock } from '../common/clock.ts';
import { systemRandom } from '../common/random.ts';
import { createMemoryLiveStore } from '../stores/live/memory.ts';
import { silentLog } from '../testing/manager.ts';
import { loadWebConfig } from './config-file.ts';
import { startWebServer, type WebServer } from './main.ts';
import { defaultWebSettings, type WebSettings } from './settings.ts';
import { cacheControl, StaticFiles } from './static-files.ts';
import { webuiConfigToml } from './webui-config.ts';

const folder = mkdtempSync(join(tmpdir(), 'bai-webui-'));
const root = join(folder, 'webui');
const live = createMemoryLiveStore({ clock: systemClock });
const servers: WebServer[] = [];

beforeAll(() => {
  mkdirSync(join(root, 'resources'), { recursive: true });
  writeFileSync(join(folder, 'secret.txt'), 'secret');
  writeFileSync(join(root, 'index.html'), '<script nonce="{{nonce}}"></script><i n="{{nonce}}">');
  writeFileSync(join(root, 'app.js'), 'run()');
  writeFileSync(join(root, 'resources', 'a b.json'), '{}');
  symlinkSync(join(folder, 'secret.txt'), join(root, 'link.txt'));
});
afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  rmSync(folder, { recursive: true });
});

async function web(settings: Partial<WebSettings> = {}): Promise<string> {
  const server = await startWebServer({
    settings: { ...defaultWebSettings, staticPath: root, ...settings },
    live,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    listen: { hostname: '127.0.0.1', port: 0 },
    managerUrl: 'http://127.0.0.1:1',
  });
  servers.push(server);
  return server.url;
}
const nonceOf = (html: string) => /nonce="([\w-]+)"/.exec(html)?.[1] ?? '';

describe('the files of a WebUI', () => {
  test('have their type, cache header and policy headers', async () => {
    const url = await web();
    const script = await fetch(`${url}/app.js?v=1`);
    expect(await script.text()).toBe('run()');
    expect(script.headers.get('content-type')).toContain('javascript');
    expect(script.headers.get('cache-control')).toBe(
      'max-age=86400, public, must-revalidate, proxy-revalidate',
    );
    expect(script.headers.get('x-content-type-options')).toBe('nosniff');
    const json = await fetch(`${url}/resources/a%20b.json`);
    expect([json.status, json.headers.get('cache-control')]).toEqual([200, 'no-store']);
  });

  test('the index stands for every other path, with a nonce of its own each time', async () => {
    const url = await web({ csp: { 'script-src': ["'self'"], 'img-src': ['*'] } });
    const responses = await Promise.all(
      ['/', '/index.html', '/session/start', '/resources'].map((path) => fetch(`${url}${path}`)),
    );
    const nonces = new Set<string>();
    for (const response of responses) {
      const html = await response.text();
      const nonce = nonceOf(html);
      expect([response.status, html.includes('{{')]).toEqual([200, false]);
      expect(response.headers.get('content-security-policy')).toBe(
        `script-src 'self' 'nonce-${nonce}'; img-src *;`,
      );
      expect(response.headers.get('cache-control')).toBe('no-store');
      nonces.add(nonce);
    }
    expect(nonces.size).toBe(4);
  });

  test('in static mode an unknown path is 404', async () => {
    const url = await web({ mode: 'static' });
    expect((await fetch(`${url}/session`)).status).toBe(404);
    expect((await fetch(`${url}/app.js`)).status).toBe(200);
  });

  test('nothing outside of the folder is found', async () => {
    const files = await StaticFiles.open(root);
    expect(await files.find('/app.js')).toBe(join(root, 'app.js'));
    for (const path of [
      ...['/../secret.txt', '/%2e%2e/secret.txt', '/..%2fsecret.txt', '/link.txt', '/', '/%00'],
      ...['/resources', '/app.js/../../secret.txt', '//etc/passwd', '/%zz', `/${'a'.repeat(5000)}`],
    ]) {
      expect([path, await files.find(path)]).toEqual([path, null]);
    }
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('..', '%2e%2e', '.', '/', '%2f', 'secret.txt', 'webui', '%5c')),
        async (parts) => {
          const found = await files.find(`/${parts.join('')}`);
          return found === null || found.startsWith(`${root}/`);
        },
      ),
    );
  });

  test('a folder that is not there is told at the start', async () => {
    expect(web({ staticPath: join(folder, 'none') })).rejects.toThrow('There is no WebUI');
  });

  test('cache headers by suffix', () => {
    expect(cacheControl('/x/backend.ai-webui.js')).toBe('no-store');
    expect(cacheControl('/x/logo.svg')).toBe('max-age=259200, public');
    expect(cacheControl('/x/data.bin')).toBeNull();
  });
});

describe('policies', () => {
  test('reject names of cloud metadata services and of version control', async () => {
    const url = await web();
    const metadata = await fetch(`${url}/`, { headers: { Host: '169.254.169.254' } });
    expect(metadata.status).toBe(403);
    expect((await fetch(`${url}/.git`)).status).toBe(403);
    expect((await fetch(`${url}/.gitx`)).status).toBe(200);
  });

  test('an unknown one fails the start', async () => {
    expect(web({ requestPolicies: ['toString'] })).rejects.toThrow("there is no policy 'toString'");
  });
});

test('without a WebUI there is the plain page, which loads nothing from elsewhere', async () => {
  const url = await web({ staticPath: null });
  const response = await fetch(url);
  const html = await response.text();
  const csp = response.headers.get('content-security-policy') ?? '';
  expect(csp).toContain("default-src 'none';");
  expect(csp).toContain(`script-src 'nonce-${nonceOf(html)}';`);
  expect(html).toContain('id="sign-in"');
  expect(html).not.toMatch(/(src|href)="(?!data:)/);
  expect((await fetch(`${url}/other`)).status).toBe(404);
});

describe('config.toml', () => {
  test('names this server as the browser sees it, and is left out in static mode', async () => {
    const url = await web({ forcedScheme: 'https' });
    const response = await fetch(`${url}/config.toml`);
    expect(response.headers.get('content-type')).toStartWith('text/plain');
    const origin = url.replace('http:', 'https:');
    const { general } = parse(await response.text());
    expect(general).toMatchObject({ apiEndpoint: origin, connectionMode: 'SESSION' });
    const ini = await (await fetch(`${url}/config.ini`)).text();
    expect(ini).toContain(`apiEndpoint = "${origin}"`);
    const files = await web({ mode: 'static' });
    expect((await fetch(`${files}/config.toml`)).status).toBe(404);
  });

  test('the proxy that the WebUI asks before it ends a session is this server, or the one that is set', async () => {
    const url = await web();
    const { wsproxy } = parse(await (await fetch(`${url}/config.toml`)).text());
    expect(wsproxy).toEqual({ proxyURL: url });
    // As the WebUI puts it together, with the version that the manager told.
    const asked = await fetch(new URL('proxy/AKIA/58623', new URL('v2/', url)));
    expect([asked.status, await asked.json()]).toEqual([
      200,
      expect.objectContaining({ code: 404 }),
    ]);
    const conf = { service: { wsproxy: { url: 'https://proxy.example' } } };
    expect(parse(webuiConfigToml(conf, url)).wsproxy).toEqual({
      proxyURL: 'https://proxy.example',
    });
  });

  test('is TOML with the values of webserver.conf in either spelling, whatever they are', () => {
    const conf = {
      service: { enable_signup: true, 'hide-agents': false },
      ui: { menu_blocklist: ['a', 'b'] },
    };
    expect(parse(webuiConfigToml(conf, 'http://x'))).toMatchObject({
      general: { signupSupport: true, hideAgents: false, apiEndpointText: 'Backend.AI API' },
      resources: { maxCPUCoresPerContainer: 64, maxFileUploadSize: 4_294_967_296 },
      menu: { blocklist: 'a,b' },
    });
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const document = parse(webuiConfigToml({ api: { text } }, 'http://x'));
        expect(document.general).toMatchObject({ apiEndpointText: text });
      }),
    );
  });
});

describe('webserver.conf', () => {
  const load = (text: string) => {
    writeFileSync(join(folder, 'webserver.conf'), text);
    return loadWebConfig({ places: { cwd: folder, home: folder }, env: {} });
  };

  test('the sample is valid', () => {
    const sample = join(import.meta.dir, '../../config/webserver.conf');
    const places = { cwd: folder, home: folder };
    const config = loadWebConfig({ explicitPath: sample, places, env: {} });
    expect(config.managerUrls).toEqual(['http://127.0.0.1:8091']);
    expect(config.listen).toMatchObject({ hostname: '0.0.0.0', port: 8080 });
    expect(config.settings.cookieSecure).toBe(true);
    expect(config.redis).toBeNull();
    const shown = join(folder, 'with-otel.conf');
    const [head, otel = ''] = readFileSync(sample, 'utf8').split('# [otel]\n');
    writeFileSync(shown, `${head}[otel]\n${otel.replace(/^# ([a-z-]+ = )/gm, '$1')}`);
    expect(loadWebConfig({ explicitPath: shown, places, env: {} }).otel).toEqual(config.otel);
  });

  test('is read in either spelling, with unknown keys kept', () => {
    const config = load(`
[service]
static_path = "w"
force-endpoint-protocol = "https"
enable-signup = true
[security]
cookie_secure = false
csp = { script_src = ["'self'"] }
[api]
endpoint = "http://a:1, http://b:2"
[session]
max_age = 60
[session.redis]
addr = "r:1"
`);
    expect(config.managerUrls).toEqual(['http://a:1', 'http://b:2']);
    expect(config.redis).toEqual({ addr: 'r:1', password: undefined });
    expect(config.settings).toMatchObject({
      ...{ staticPath: 'w', forcedScheme: 'https', cookieSecure: false },
      ...{ sessionMaxAgeSec: 60, sessionExtensionSec: 60 },
      csp: { 'script-src': ["'self'"] },
      conf: { service: { 'enable-signup': true } },
    });
  });

  test.each([
    ['[service]\nport = 1\n', 'webserver.conf: [api] is missing'],
    ['[api]\nendpoint = "nowhere"\n', 'expected the URL of a manager'],
    ['[api]\nendpoint = "http://a"\n[service]\nmode = "x"\n', 'webserver.conf:4: [service] mode'],
    ['[api]\nendpoint = "http://a"\n[service]\nssl-enabled = true\n', 'ssl-cert'],
  ])('what is wrong is named: %p', (text, message) => {
    expect(() => load(text)).toThrow(message);
  });
});
