/** Web pages of any origin may use the client API: the token is what lets them in. */

const TUS_HEADERS = 'Tus-Resumable, Upload-Length, Upload-Metadata, Upload-Offset, Content-Type';

/** What every answer says, so that a page may read it. */
export function withCors(request: Request, response: Response): Response {
  const { headers } = response;
  const isUpload = new URL(request.url).pathname === '/upload';
  headers.set('Access-Control-Allow-Origin', '*');
  headers.set('Access-Control-Allow-Methods', '*');
  headers.set('Access-Control-Allow-Headers', isUpload ? TUS_HEADERS : '*');
  headers.set(
    'Access-Control-Expose-Headers',
    isUpload
      ? TUS_HEADERS
      : 'Content-Disposition, Content-Length, Content-Range, Last-Modified, ETag',
  );
  return response;
}
