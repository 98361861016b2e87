/** Files of the WebUI's folder: nothing outside it, each with how long browsers may keep it. */
import { realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';

/** By suffix, first match; others get no header. */
const CACHE_CONTROL: readonly (readonly [suffixes: readonly string[], value: string])[] = [
  [['.manifest', '.appcache', '.html', '.htm', '.xml', '.json', '.ini', '.toml'], 'no-store'],
  [['backend.ai-webui.js'], 'no-store'],
  [
    [
      ...['.jpg', '.jpeg', '.gif', '.png', '.ico', '.cur', '.gz', '.svg', '.svgz', '.mp4', '.ogg'],
      ...['.ogv', '.webm', '.htc', '.woff', '.woff2'],
    ],
    'max-age=259200, public',
  ],
  [['.css', '.js'], 'max-age=86400, public, must-revalidate, proxy-revalidate'],
  [['.py', '.log', '.txt'], 'no-store'],
];

/** The Cache-Control header of a file; null for none. */
export function cacheControl(path: string): string | null {
  const found = CACHE_CONTROL.find(([suffixes]) => suffixes.some((end) => path.endsWith(end)));
  return found?.[1] ?? null;
}

export class StaticFiles {
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  /** @throws when the folder does not exist. */
  static async open(folder: string): Promise<StaticFiles> {
    return new StaticFiles(await realpath(folder));
  }

  /**
   * The real path of the file that a URL path names, or null: when there is none, and when it is
   * outside of the folder, be it by `..` or by a link.
   */
  async find(urlPath: string): Promise<string | null> {
    let decoded: string;
    try {
      decoded = decodeURIComponent(urlPath);
    } catch {
      return null;
    }
    if (decoded.includes('\0')) return null;
    try {
      const path = await realpath(join(this.#root, decoded));
      const isInside = path.startsWith(`${this.#root}${sep}`);
      return isInside && (await stat(path)).isFile() ? path : null;
    } catch {
      // Whatever is wrong with it (missing, too long, unreadable): there is no such file to serve.
      return null;
    }
  }

  /** The file as a response. */
  respond(path: string): Response {
    const cache = cacheControl(path);
    const file = Bun.file(path);
    return new Response(file, {
      headers: {
        'Content-Type': file.type,
        ...(cache === null ? {} : { 'Cache-Control': cache }),
      },
    });
  }

  /** index.html with `nonce` in its places; null when the folder has none. */
  async index(nonce: string): Promise<string | null> {
    const path = await this.find('/index.html');
    if (path === null) return null;
    return (await Bun.file(path).text()).replaceAll('{{nonce}}', nonce);
  }
}
