/** How many queries something costs, for tests that a page's cost does not grow with its length. */
import type { Sql } from 'postgres';

/** The server's own queries fall into a run now and then: only ever more, never fewer. */
const ROUNDS = 5;

/** The texts of the queries that were sent while `work` went on, those of the server's own included. */
export async function queriesDuring(sql: Sql, work: () => Promise<unknown>): Promise<string[]> {
  const texts: string[] = [];
  const debug = sql.options.debug;
  sql.options.debug = (_connection, query) => texts.push(query);
  try {
    await work();
  } finally {
    sql.options.debug = debug;
  }
  // A new connection first asks PostgreSQL for its types.
  return texts.filter((text) => !text.includes('pg_catalog'));
}

/** The fewest queries that `work` took in a few rounds, after a first that fills caches. */
export async function fewestQueries(sql: Sql, work: () => Promise<unknown>): Promise<number> {
  await work();
  const counts: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1)
    counts.push((await queriesDuring(sql, work)).length);
  return Math.min(...counts);
}
