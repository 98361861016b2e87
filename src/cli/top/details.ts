/** All that is known of one row of `top`, in lines. Pure. */
import { elapsed, inWords, memory, percent, short } from './amounts.ts';
import type { Amounts, TopNode, TopSession, TopSnapshot, TopWaiting } from './snapshot.ts';
import { type Part, startInWords } from './tables.ts';

const LABEL_WIDTH = 14;
const line = (label: string, value: string): string[] =>
  value === '' ? [] : [`${label.padEnd(LABEL_WIDTH)}${value}`];

const amount = (slot: string, value: number): string =>
  slot === 'mem' ? memory(value) : short(value);

const slotLines = (used: Amounts, total: Amounts): string[] =>
  Object.entries(total).flatMap(([slot, all]) =>
    line(slot, `${amount(slot, used[slot] ?? 0)} of ${amount(slot, all)} held`),
  );

function nodeLines(node: TopNode, { sessions }: TopSnapshot): string[] {
  const here = sessions.filter(({ agents }) => agents.includes(node.id));
  return [
    ...line('Node', node.id),
    ...line('State', node.isSchedulable ? node.status : `${node.status}, takes no new sessions`),
    ...line('Group', node.group),
    ...slotLines(node.used, node.total),
    ...line(
      'Busy',
      node.cpuPercent === null ? '' : `${percent(node.cpuPercent)} of its processors`,
    ),
    ...node.devices.flatMap(({ name, busyPercent, memoryPercent }) =>
      line(
        `${name} devices`,
        `${percent(busyPercent)} busy${memoryPercent === null ? '' : `, ${percent(memoryPercent)} of their memory`}`,
      ),
    ),
    '',
    ...(here.length === 0
      ? ['No session runs there.']
      : [
          'Its sessions:',
          ...here.map(({ name, owner, slots }) => `  ${name}  ${owner}  ${inWords(slots)}`),
        ]),
  ];
}

function sessionLines(session: TopSession, nowMs: number): string[] {
  const { createdAt, memoryBytes, cpuPercent, devicePercent } = session;
  return [
    ...line('Session', session.name),
    ...line('Id', session.id),
    ...line('State', session.status),
    ...line('Owner', session.owner),
    ...line('Group', session.group),
    ...line('Nodes', session.agents.join(' ')),
    ...line('Holds', inWords(session.slots)),
    ...line('Uses', cpuPercent === null ? '' : `${percent(cpuPercent)} of a processor`),
    ...line('', memoryBytes === null ? '' : `${memory(memoryBytes)} of memory`),
    ...line('', devicePercent === null ? '' : `${percent(devicePercent)} of its devices`),
    ...line(
      'Made',
      createdAt === null ? '' : `${createdAt}, ${elapsed(nowMs - Date.parse(createdAt))} ago`,
    ),
  ];
}

function waitingLines(waiting: TopWaiting, nowMs: number): string[] {
  const { position, length, reasons } = waiting;
  return [
    ...line('Session', waiting.name),
    ...line('Id', waiting.id),
    ...line('Owner', waiting.owner),
    ...line('Group', waiting.group),
    ...line('Wants', inWords(waiting.slots)),
    ...line('Place', position === null ? '' : `${position} of ${length}`),
    ...line('Start', startInWords(waiting, nowMs)),
    '',
    ...(waiting.why === '' ? [] : [`Why it waits: ${waiting.why}`]),
    ...reasons.map((reason) => `  ${reason}`),
  ];
}

/** @returns null when there is no such row any more. */
export function detailsOf(
  snapshot: TopSnapshot,
  part: Part,
  id: string,
  nowMs: number,
): string[] | null {
  const withId = <T extends { readonly id: string }>(rows: readonly T[] | null): T | undefined =>
    rows?.find((row) => row.id === id);
  if (part === 'nodes') {
    const node = withId(snapshot.nodes);
    return node === undefined ? null : nodeLines(node, snapshot);
  }
  if (part === 'sessions') {
    const session = withId(snapshot.sessions);
    return session === undefined ? null : sessionLines(session, nowMs);
  }
  const waiting = withId(snapshot.waiting);
  return waiting === undefined ? null : waitingLines(waiting, nowMs);
}
