/** `top` at a terminal: the newest snapshot, drawn again when it comes and when a key is pressed. */
import { Box, render, Text, useApp, useInput, useWindowSize } from 'ink';
import { createElement, useEffect, useState } from 'react';
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import { drawTop, type Line, PARTS, type Part, rowsIn } from './draw.ts';
import type { TopSnapshot } from './snapshot.ts';

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
const NO_OFFSETS: Record<Part, number> = { nodes: 0, sessions: 0, queue: 0 };

const STYLES: Record<Line['style'], { bold?: boolean; color?: string; dimColor?: boolean }> = {
  plain: {},
  title: { bold: true },
  focused: { bold: true, color: 'green' },
  header: { dimColor: true },
  dim: { dimColor: true },
  warning: { color: 'yellow' },
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

function Screen({ source }: { readonly source: TopSource }) {
  const [focus, setFocus] = useState<Part>('sessions');
  const [offsets, setOffsets] = useState(NO_OFFSETS);
  const [isPaused, setPaused] = useState(false);
  const { snapshot, atMs, failure } = useSnapshots(source, isPaused);
  const { exit } = useApp();
  const { rows, columns } = useWindowSize();

  const scroll = (by: number) => {
    const last = snapshot === null ? 0 : Math.max(0, rowsIn(snapshot, focus) - 1);
    setOffsets((before) => ({
      ...before,
      [focus]: Math.min(last, Math.max(0, before[focus] + by)),
    }));
  };
  useInput((input, key) => {
    if (input === 'q' || (key.ctrl && input === 'c')) exit();
    else if (input === 'p' || input === ' ') setPaused(!isPaused);
    else if (key.tab || key.rightArrow || key.leftArrow) {
      const step = key.leftArrow || key.shift ? PARTS.length - 1 : 1;
      setFocus(PARTS[(PARTS.indexOf(focus) + step) % PARTS.length] ?? 'sessions');
    } else if (key.downArrow || input === 'j') scroll(1);
    else if (key.upArrow || input === 'k') scroll(-1);
    else if (key.pageDown) scroll(10);
    else if (key.pageUp) scroll(-10);
  });

  const view = { columns, rows: rows - OWN_ROWS, focus, offsets, nowMs: atMs };
  const lines = snapshot === null ? [] : drawTop(snapshot, view);
  return (
    <Box flexDirection="column" height={rows} width={columns} overflow="hidden">
      <Text wrap="truncate-end">
        <Text bold color="green">
          Backend.AI
        </Text>{' '}
        {source.endpoint}{' '}
        {snapshot !== null && <Text dimColor>{new Date(atMs).toTimeString().slice(0, 8)}</Text>}
        {failure !== null && <Text color="red"> {failure}</Text>}
        {snapshot === null && failure === null && ' …'}
      </Text>
      <Box flexDirection="column" flexGrow={1} overflow="hidden">
        {lines.map(({ text, style }, at) => (
          // A line has no identity of its own: it is what stands at its place.
          <Text key={at} wrap="truncate-end" {...STYLES[style]}>
            {text === '' ? ' ' : text}
          </Text>
        ))}
      </Box>
      <Text dimColor wrap="truncate-end">
        {isPaused ? 'PAUSED · ' : ''}tab other part · ↑↓ scroll · p {isPaused ? 'go on' : 'pause'} ·
        q quit
      </Text>
    </Box>
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
