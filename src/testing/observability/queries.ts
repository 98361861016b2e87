/** Reads what dashboards and alert rules ask Prometheus for. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';

const datasource = v.object({ type: v.picklist(['prometheus', 'loki', 'tempo']) });
const dashboard = v.looseObject({
  title: v.string(),
  templating: v.object({
    list: v.array(
      v.looseObject({
        name: v.string(),
        datasource: v.optional(datasource),
        query: v.union([v.string(), v.looseObject({ query: v.optional(v.string()) })]),
      }),
    ),
  }),
  panels: v.array(
    v.looseObject({
      title: v.string(),
      type: v.string(),
      targets: v.optional(
        v.array(v.looseObject({ datasource, expr: v.optional(v.string(), '') })),
        [],
      ),
    }),
  ),
});

export interface DashboardQuery {
  /** Dashboard and panel, for messages. */
  readonly where: string;
  /** What Grafana would send. */
  readonly expression: string;
}

/** What Grafana puts in place of its variables; `All` is chosen of the dashboard's own. */
function withoutVariables(expression: string, names: readonly string[]): string {
  const plain = names.reduce(
    (text, name) => text.replaceAll(`$${name}`, '.*'),
    expression.replaceAll('$__rate_interval', '1m'),
  );
  if (plain.includes('$')) throw new Error(`an unknown variable in ${expression}`);
  return plain;
}

/** `label_values(metric, label)`, as the query that must have that label. */
function variableQuery(query: string): string {
  const parts = /^label_values\((.+), *(\w+)\)$/.exec(query);
  if (!parts)
    throw new Error(`the query of a variable is no label_values(metric, label): ${query}`);
  return `count by (${parts[2]}) (${parts[1]})`;
}

/** Every query to Prometheus of every panel and variable in the JSON files of a folder. */
export function dashboardQueries(folder: string): DashboardQuery[] {
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return files.flatMap((file) => {
    const board = v.parse(dashboard, JSON.parse(readFileSync(join(folder, file), 'utf8')));
    const variables = board.templating.list;
    const names = variables.map(({ name }) => name);
    const panels = board.panels.filter(({ type }) => type !== 'row');
    for (const { title, targets } of panels) {
      if (targets.length === 0) throw new Error(`'${title}' of ${file} asks for nothing`);
    }
    return [
      ...variables
        .filter((variable) => variable.datasource?.type === 'prometheus')
        .map(({ name, query }) => ({
          where: `${board.title}: $${name}`,
          expression: variableQuery(typeof query === 'string' ? query : (query.query ?? '')),
        })),
      ...panels.flatMap(({ title, targets }) =>
        targets
          .filter((target) => target.datasource.type === 'prometheus')
          .map(({ expr }) => ({
            where: `${board.title}: ${title}`,
            expression: withoutVariables(expr, names),
          })),
      ),
    ];
  });
}

const METRIC =
  /(?<![\w:{"])(?:backendai|appproxy|pg|redis|etcd|node)_\w+(?:\{[^}]*\})?|(?<!\w)up(?:\{[^}]*\})?(?= )/g;

/** The series that a rule looks at: each metric with its conditions. @throws when there is none. */
export function selectorsIn(expression: string): string[] {
  const found = [...expression.matchAll(METRIC)].map(([selector]) => selector);
  if (found.length === 0) throw new Error(`no metric is found in: ${expression}`);
  return found;
}
