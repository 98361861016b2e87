/** Paths of routes: matching them outside the router, and naming their parameters. */

export interface PathPattern {
  /** The path for the router: parameters by position, as it wants one name per place. */
  readonly routerPath: string;
  /** Parameter names in order. */
  readonly names: readonly string[];
  matches(pathname: string): boolean;
}

/** @param path with `:name` parameters, e.g. `/session/:session_name/logs`. */
export function compilePath(path: string): PathPattern {
  const names: string[] = [];
  const segments = path.split('/').map((segment) => {
    if (!segment.startsWith(':')) return { literal: segment };
    names.push(segment.slice(1));
    return { literal: null, router: `:p${names.length - 1}` };
  });
  const pattern = new RegExp(
    `^${segments.map(({ literal }) => (literal === null ? '[^/]+' : RegExp.escape(literal))).join('/')}$`,
  );
  return {
    routerPath: segments.map(({ literal, router }) => literal ?? router).join('/'),
    names,
    matches: (pathname) => pattern.test(pathname),
  };
}
