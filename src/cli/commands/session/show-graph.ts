/** `session show-graph`: the sessions that a session waits for. */
import type { DependencyNode } from '../../../client/index.ts';
import { systemClock } from '../../../common/clock.ts';
import { argument, defineCommand, flag } from '../../../common/command.ts';
import { connect } from '../../connect.ts';
import { printJson } from '../../output/json.ts';
import { formatTable, withoutControls } from '../../output/table.ts';

function ago(time: string | null | undefined, now: Date): string {
  const ms = time ? now.getTime() - Date.parse(time) : Number.NaN;
  if (!Number.isFinite(ms)) return '';
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const [hours, ...rest] = parts.map((part) => String(part).padStart(2, '0'));
  return ` ${[Number(hours), ...rest].join(':')} ago`;
}

const label = (node: DependencyNode, now: Date): string =>
  `${withoutControls(node.session_name)} ("${node.status}"${ago(node.status_changed, now)})`;

/** One line for each node, those it waits for below it. */
export function treeLines(node: DependencyNode, now: Date, indent = ''): string[] {
  const children = node.depends_on.flatMap((child, index) => {
    const isLast = index === node.depends_on.length - 1;
    const [first, ...below] = treeLines(child, now, `${indent}${isLast ? '    ' : '│   '}`);
    return [`${indent}${isLast ? '└── ' : '├── '}${first}`, ...below];
  });
  return [label(node, now), ...children];
}

/** Each session once, those that others wait for first. */
function inOrder(root: DependencyNode): DependencyNode[] {
  const seen = new Map<string, DependencyNode>();
  const visit = (node: DependencyNode) => {
    for (const child of node.depends_on) visit(child);
    if (!seen.has(node.session_id)) seen.set(node.session_id, node);
  };
  visit(root);
  return [...seen.values()];
}

export default defineCommand({
  positionals: { session: argument('SESSION_ID', 'Id or name.') },
  options: { table: flag(['-t', '--table'], 'Show a table, what comes first above.') },
  async run({ options, args, io, globals }) {
    const client = await connect({ io, globals });
    const graph = await client.session.dependencyGraph(args.session);
    if (globals.output === 'json') {
      printJson(io, graph);
    } else if (options.table) {
      const rows = inOrder(graph).map((node) => [
        node.session_name,
        node.session_id,
        node.status,
        node.status_changed ?? '',
      ]);
      io.stdout.write(
        formatTable(['session_name', 'session_id', 'status', 'status_changed'], rows),
      );
    } else {
      io.stdout.write(`${treeLines(graph, systemClock.now()).join('\n')}\n`);
    }
    return 0;
  },
});
