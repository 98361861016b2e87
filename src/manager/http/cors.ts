/** Cross-origin rules: any origin may call every operation, without cookies. */
import { BackendError } from '../../common/errors.ts';

/** Adds what a browser needs to read the response of a cross-origin request. */
export function exposeToOrigin(request: Request, headers: Headers): void {
  const origin = request.headers.get('origin');
  if (origin === null) return;
  headers.set('Access-Control-Allow-Origin', origin);
  headers.set('Access-Control-Expose-Headers', [...headers.keys()].join(','));
  headers.append('Vary', 'Origin');
}

/**
 * Answers an OPTIONS request on a path that has the given methods.
 * @throws BackendError GenericBadRequest when it is not a preflight for one of them.
 */
export function preflight(request: Request, methods: readonly string[]): Response {
  const origin = request.headers.get('origin');
  const method = request.headers.get('access-control-request-method');
  if (origin === null || method === null) {
    throw new BackendError(
      'GenericBadRequest',
      'CORS preflight request failed: it needs the headers Origin and Access-Control-Request-Method.',
    );
  }
  if (!methods.includes(method)) {
    throw new BackendError(
      'GenericBadRequest',
      `CORS preflight request failed: method ${method.slice(0, 20)} is not available here.`,
    );
  }
  const names = request.headers.get('access-control-request-headers');
  return new Response(null, {
    status: 200,
    headers: {
      'Access-Control-Allow-Origin': origin,
      'Access-Control-Allow-Methods': method,
      ...(names === null ? {} : { 'Access-Control-Allow-Headers': names.toUpperCase() }),
    },
  });
}
