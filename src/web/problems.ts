/** The web server's own refusals: `{type, title}` documents, which the WebUI tells apart by type. */

const problems = {
  'auth-failed': 401,
  'bad-gateway': 502,
  forbidden: 403,
  'generic-bad-request': 400,
  'generic-not-found': 404,
  'internal-server-error': 500,
  'invalid-api-params': 400,
  'service-unavailable': 503,
  'too-many-requests': 429,
  'webserver/manager-connection-unavailable': 503,
} as const;
type Slug = keyof typeof problems;

/** A failure that the browser is told of. */
export class WebProblem extends Error {
  readonly slug: Slug;

  constructor(slug: Slug, title: string) {
    super(title);
    this.name = 'WebProblem';
    this.slug = slug;
  }

  toResponse(): Response {
    const document = { type: `https://api.backend.ai/probs/${this.slug}`, title: this.message };
    return new Response(JSON.stringify(document), {
      status: problems[this.slug],
      headers: { 'Content-Type': 'application/problem+json' },
    });
  }
}
