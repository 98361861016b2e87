/** Web pages of any origin may use the client API: the token is what lets them in. */

const TUS_HEADERS = 'Tus-Resumable, Upload-Length, Upload-Metadata, Upload-Offset, Content-Type';
const DOWNLOAD_HEADERS =
  'Content-Disposition, Content-Length, Content-Range, Accept-Ranges, ETag, Last-Modified';

export const preflight = (): Response => new Response(null, { status: 204 });

function shareUpload(headers: Headers): void {
  headers.set('Access-Control-Allow-Origin', '*');
  headers.set('Access-Control-Allow-Methods', '*');
  headers.set('Access-Control-Allow-Headers', TUS_HEADERS);
  headers.set('Access-Control-Expose-Headers', TUS_HEADERS);
}

/** With credentials, which need the origin by name instead of a star. */
function shareDownload(request: Request, headers: Headers): void {
  const origin = request.headers.get('origin');
  if (origin === null) return;
  headers.set('Access-Control-Allow-Origin', origin);
  headers.set('Access-Control-Allow-Credentials', 'true');
  headers.set('Access-Control-Expose-Headers', DOWNLOAD_HEADERS);
  headers.append('Vary', 'Origin');
  if (request.method !== 'OPTIONS') return;
  headers.set('Access-Control-Allow-Methods', 'GET, HEAD, OPTIONS');
  const asked = request.headers.get('access-control-request-headers');
  if (asked !== null) headers.set('Access-Control-Allow-Headers', asked);
}

/** What every answer says, so that a page may read it. */
export function withCors(request: Request, response: Response): Response {
  const isUpload = new URL(request.url).pathname === '/upload';
  if (isUpload) shareUpload(response.headers);
  else shareDownload(request, response.headers);
  return response;
}
