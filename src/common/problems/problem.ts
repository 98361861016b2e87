/** One row of the table of problems. */

export interface Problem {
  readonly status: number;
  readonly slug: string;
  readonly title: string;
  readonly code: string;
}

export const problem = (status: number, slug: string, title: string, code: string): Problem => ({
  status,
  slug,
  title,
  code,
});
