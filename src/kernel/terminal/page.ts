/** The page of the web terminal: xterm.js and a client of the protocol, in one document. */
import fitAddon from '@xterm/addon-fit/lib/addon-fit.js' with { type: 'text' };
import styles from '@xterm/xterm/css/xterm.css' with { type: 'text' };
import xterm from '@xterm/xterm/lib/xterm.js' with { type: 'text' };
import client from './page.client.js' with { type: 'text' };

const script = (text: string): string =>
  `<script>${text.replace(/^\/\/# sourceMappingURL=.*$/gm, '').replaceAll('</script', '<\\/script')}</script>`;

let compressed: Uint8Array<ArrayBuffer> | null = null;

/** The document. */
export const plainPage = (): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Terminal</title>
<style>${styles}
html, body { height: 100%; margin: 0; background: #000; }
#terminal { position: absolute; inset: 0; padding: 4px; }
#notice { position: absolute; right: 0; bottom: 0; margin: 8px; padding: 4px 8px; background: #333;
  color: #fff; font: 14px sans-serif; }
#notice:empty { display: none; }
</style>
</head>
<body>
<div id="terminal"></div>
<div id="notice" role="status"></div>
${[xterm, fitAddon, client].map(script).join('\n')}
</body>
</html>
`;

/** The same, by gzip; made once. */
export function compressedPage(): Uint8Array<ArrayBuffer> {
  compressed ??= Bun.gzipSync(plainPage());
  return compressed;
}
