/** Finds the route for a request. */
import { StorageError } from '../problems.ts';
import type { ManagerRoute } from './route.ts';

interface Found {
  readonly route: ManagerRoute;
  /** What the parts of the path called `:name` are. */
  readonly parts: Readonly<Record<string, string>>;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new StorageError(
      'InvalidParameters',
      `The address has a part that is not valid: ${part}`,
    );
  }
}

/** @returns null when `path` is not one of the kind. */
function match(pattern: string, path: string): Record<string, string> | null {
  const [wanted, given] = [pattern.split('/'), path.split('/')];
  if (wanted.length !== given.length) return null;
  const parts: Record<string, string> = {};
  for (const [at, name] of wanted.entries()) {
    const part = given[at] ?? '';
    if (name.startsWith(':') && part !== '') parts[name.slice(1)] = decoded(part);
    else if (name !== part) return null;
  }
  return parts;
}

export class Router {
  readonly #routes: readonly ManagerRoute[];

  constructor(routes: readonly ManagerRoute[]) {
    this.#routes = routes;
  }

  find(method: string, path: string): Found | null {
    for (const route of this.#routes) {
      if (route.method !== method) continue;
      const parts = match(route.path, path);
      if (parts) return { route, parts };
    }
    return null;
  }

  /** Whether there is something at `path`, with whatever method. */
  knows(path: string): boolean {
    return this.#routes.some((route) => match(route.path, path) !== null);
  }
}
