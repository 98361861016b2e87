/** Cross-origin rules: WebUIs of other origins may call this server and read its answers. */

/** Answers a preflight request; other OPTIONS requests get the same without its headers. */
export function preflight({ headers }: Request): Response {
  const method = headers.get('access-control-request-method');
  const names = headers.get('access-control-request-headers');
  return new Response(null, {
    headers: {
      ...(method === null ? {} : { 'Access-Control-Allow-Methods': method }),
      ...(names === null ? {} : { 'Access-Control-Allow-Headers': names }),
    },
  });
}

export function exposeToOrigin(request: Request, headers: Headers): void {
  const origin = request.headers.get('origin');
  if (origin === null) return;
  headers.set('Access-Control-Allow-Origin', origin);
  headers.set('Access-Control-Allow-Credentials', 'true');
  headers.set('Access-Control-Expose-Headers', [...new Set(headers.keys())].join(','));
  headers.append('Vary', 'Origin');
}
