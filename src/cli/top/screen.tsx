/** `top` at a terminal: the newest snapshot, drawn again when it comes and when a key is pressed. */
import { Box, type Key, render, Text, useApp, useInput, useWindowSize } from 'ink';
import { createElement, useEffect, useRef, useState } from 'react';
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import { eachKey } from '../../common/terminal-keys.ts';
import { type Arrangement, AS_IT_COMES, arrange, nextOrder, reversed } from './arrange.ts';
import { detailsOf } from './details.ts';
import { drawTop, type Line } from './draw.ts';
import type { TopSnapshot } from './snapshot.ts';
import { PARTS, type Part } from './tables.ts';

export interface TopSource {
  readonly endpoint: string;
  readonly clock: Clock;
  /** Milliseconds between two snapshots. */
  readonly everyMs: number;
  /** @throws what the client throws; it is shown, and tried again. */
  readonly take: () => Promise<TopSnapshot>;
}

/** The lines of the program itself. */
const OWN_ROWS = 2;
const PAGE_ROWS = 10;
const KEYS = '? keys · q quit · tab part · ↑↓ row · enter more · s sort · / filter · p pause';
const HELP: readonly string[] = [
  'tab ← →        the part that the other keys are for: nodes, sessions, queue',
  '↑ ↓ j k        choose a row; page up and down, g, G: further',
  'enter          all that is known of the row; why a session waits',
  's              another order: by what is held, used, owner, name …',
  'r              the same order the other way round',
  '/              show only rows that contain a text: a name, an owner, a node …',
  'esc            back; takes the filter away',
  'p space        stand still, and go on',
  'q ^C           quit',
];

const STYLES: Record<
  Line['style'],
  { bold?: boolean; color?: string; dimColor?: boolean; inverse?: boolean }
> = {
  plain: {},
  title: { bold: true },
  focused: { bold: true, color: 'green' },
  header: { dimColor: true },
  dim: { dimColor: true },
  warning: { color: 'yellow' },
  chosen: { inverse: true },
};

interface Taken {
  readonly snapshot: TopSnapshot | null;
  readonly atMs: number;
  readonly failure: string | null;
}

/** Takes snapshots one after the other until the screen goes. */
function useSnapshots({ take, clock, everyMs }: TopSource, isPaused: boolean): Taken {
  const [taken, setTaken] = useState<Taken>({ snapshot: null, atMs: 0, failure: null });
  useEffect(() => {
    if (isPaused) return;
    const gone = new AbortController();
    const follow = async () => {
      while (!gone.signal.aborted) {
        try {
          const snapshot = await take();
          if (gone.signal.aborted) return;
          setTaken({ snapshot, atMs: clock.now().getTime(), failure: null });
        } catch (error) {
          if (gone.signal.aborted) return;
          setTaken((before) => ({ ...before, failure: errorMessage(error) }));
        }
        await clock.sleep(everyMs, gone.signal).catch(() => undefined);
      }
    };
    follow();
    return () => gone.abort();
  }, [take, clock, everyMs, isPaused]);
  return taken;
}

/** What somebody looks at. */
interface Look {
  readonly focus: Part;
  /** Of each part: the row's id, followed when rows move, and its number for when it is gone. */
  readonly chosen: Readonly<Record<Part, { readonly id: string | null; readonly at: number }>>;
  readonly arrangement: Arrangement;
  /** Instead of the tables. */
  readonly page: 'details' | 'help' | null;
  readonly isTyping: boolean;
  readonly isPaused: boolean;
}

const FIRST = { id: null, at: 0 };
const AT_FIRST: Look = {
  focus: 'sessions',
  chosen: { nodes: FIRST, sessions: FIRST, queue: FIRST },
  arrangement: AS_IT_COMES,
  page: null,
  isTyping: false,
  isPaused: false,
};

function idsOf(shown: TopSnapshot | null, part: Part): string[] {
  const rows = { nodes: shown?.nodes ?? [], sessions: shown?.sessions, queue: shown?.waiting };
  return (rows[part] ?? []).map(({ id }) => id);
}

/** The number of the chosen row as the rows are now; 0 without any. */
function placeOf({ chosen }: Look, shown: TopSnapshot | null, part: Part): number {
  const ids = idsOf(shown, part);
  const { id, at } = chosen[part];
  const found = id === null ? -1 : ids.indexOf(id);
  return found >= 0 ? found : Math.max(0, Math.min(at, ids.length - 1));
}

function moved(look: Look, shown: TopSnapshot | null, by: number): Look {
  const { focus, chosen } = look;
  const ids = idsOf(shown, focus);
  const at = Math.max(0, Math.min(ids.length - 1, placeOf(look, shown, focus) + by));
  return { ...look, chosen: { ...chosen, [focus]: { id: ids[at] ?? null, at } } };
}

const typedInto = (filter: string, input: string, key: Key): string => {
  if (key.backspace || key.delete) return filter.slice(0, -1);
  return key.ctrl || key.meta ? filter : filter + input.replaceAll(/\p{Cc}/gu, '');
};

/** What a key leads to while a filter is typed. */
function whileTyping(look: Look, input: string, key: Key): Look {
  const { arrangement } = look;
  if (key.escape) {
    return { ...look, isTyping: false, arrangement: { ...arrangement, filter: '' } };
  }
  if (key.return) return { ...look, isTyping: false };
  const filter = typedInto(arrangement.filter, input, key);
  return { ...look, arrangement: { ...arrangement, filter } };
}

/** Rows that are gone over by a key; null when it is none of those. */
function stepOf(input: string, key: Key): number | null {
  if (key.downArrow || input === 'j') return 1;
  if (key.upArrow || input === 'k') return -1;
  if (key.pageDown) return PAGE_ROWS;
  if (key.pageUp) return -PAGE_ROWS;
  if (input === 'G' || key.end) return Number.MAX_SAFE_INTEGER;
  return input === 'g' || key.home ? -Number.MAX_SAFE_INTEGER : null;
}

/** What a key leads to otherwise. @param shown the rows as they are arranged. */
function afterKey(look: Look, shown: TopSnapshot | null, input: string, key: Key): Look {
  const { focus, arrangement } = look;
  if (key.escape) {
    if (look.page !== null) return { ...look, page: null };
    return { ...look, arrangement: { ...arrangement, filter: '' } };
  }
  if (input === '?') return { ...look, page: look.page === 'help' ? null : 'help' };
  if (input === 'p' || input === ' ') return { ...look, isPaused: !look.isPaused };
  if (key.return) {
    const isThere = idsOf(shown, focus).length > 0;
    // Which row it is stays the same when others come before it.
    return look.page === null && isThere
      ? { ...moved(look, shown, 0), page: 'details' }
      : { ...look, page: null };
  }
  if (look.page !== null) return look;
  if (key.tab || key.rightArrow || key.leftArrow) {
    const step = key.leftArrow || key.shift ? PARTS.length - 1 : 1;
    const next = PARTS[(PARTS.indexOf(focus) + step) % PARTS.length];
    return { ...look, focus: next ?? focus };
  }
  if (input === 's') return { ...look, arrangement: nextOrder(arrangement, focus) };
  if (input === 'r') return { ...look, arrangement: reversed(arrangement, focus) };
  if (input === '/') return { ...look, isTyping: true };
  const step = stepOf(input, key);
  return step === null ? look : moved(look, shown, step);
}

function pageLines(look: Look, snapshot: TopSnapshot | null, atMs: number): readonly string[] {
  if (look.page === 'help') return HELP;
  const { id } = look.chosen[look.focus];
  const found = snapshot === null || id === null ? null : detailsOf(snapshot, look.focus, id, atMs);
  return found ?? ['It is not there any more.'];
}

function Screen({ source }: { readonly source: TopSource }) {
  // Several keys may come before the next drawing: each acts on what the one before it led to.
  const look = useRef(AT_FIRST);
  const [, draw] = useState(0);
  const { snapshot, atMs, failure } = useSnapshots(source, look.current.isPaused);
  const { exit } = useApp();
  const { rows, columns } = useWindowSize();
  const take = (input: string, key: Key) => {
    const { isTyping, arrangement } = look.current;
    if ((key.ctrl && input === 'c') || (input === 'q' && !isTyping)) {
      exit();
      return;
    }
    const shown = snapshot === null ? null : arrange(snapshot, arrangement);
    look.current = isTyping
      ? whileTyping(look.current, input, key)
      : afterKey(look.current, shown, input, key);
    draw((count) => count + 1);
  };
  useInput((input, key) => eachKey(input, key, take));

  const { focus, page, arrangement } = look.current;
  const shown = snapshot === null ? null : arrange(snapshot, arrangement);
  const place = (part: Part) => placeOf(look.current, shown, part);
  const view = {
    ...{ columns, rows: rows - OWN_ROWS, focus, arrangement, nowMs: atMs },
    chosen: { nodes: place('nodes'), sessions: place('sessions'), queue: place('queue') },
  };
  const lines = snapshot === null || page !== null ? [] : drawTop(snapshot, view);
  return (
    <Box flexDirection="column" height={rows} width={columns} overflow="hidden">
      <Text wrap="truncate-end">
        <Text bold color="green">
          Backend.AI
        </Text>{' '}
        {source.endpoint}{' '}
        {snapshot !== null && <Text dimColor>{new Date(atMs).toTimeString().slice(0, 8)}</Text>}
        {failure !== null && <Text color="red"> {failure.split('\n', 1)[0]}</Text>}
        {snapshot === null && failure === null && ' …'}
      </Text>
      <Box flexDirection="column" flexGrow={1} overflow="hidden">
        {page !== null && <Text> </Text>}
        {page !== null &&
          pageLines(look.current, snapshot, atMs).map((text, at) => (
            <Text key={at}>{text || ' '}</Text>
          ))}
        {lines.map(({ text, style }, at) => (
          // A line has no identity of its own: it is what stands at its place.
          <Text key={at} wrap="truncate-end" {...STYLES[style]}>
            {text === '' ? ' ' : text}
          </Text>
        ))}
      </Box>
      <Footer look={look.current} />
    </Box>
  );
}

function Footer({ look }: { readonly look: Look }) {
  const { isTyping, isPaused, page, arrangement } = look;
  if (isTyping) {
    return (
      <Text wrap="truncate-end">
        Only rows with: {arrangement.filter}█ <Text dimColor>enter keep · esc all rows</Text>
      </Text>
    );
  }
  return (
    <Text dimColor wrap="truncate-end">
      {isPaused ? 'PAUSED, p goes on · ' : ''}
      {arrangement.filter === '' ? '' : `only "${arrangement.filter}", esc all · `}
      {page === null ? KEYS : 'esc back · q quit'}
    </Text>
  );
}

/** Shows the screen until it is left. */
export async function showTop(source: TopSource): Promise<void> {
  const app = render(createElement(Screen, { source }), {
    exitOnCtrlC: false,
    alternateScreen: true,
  });
  await app.waitUntilExit();
}
