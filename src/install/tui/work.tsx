/** The third screen: the steps as they are done, the log, and at the end the report. */
import { existsSync } from 'node:fs';
import { Box, Text, useInput, useWindowSize } from 'ink';
import { useEffect, useState } from 'react';
import { errorMessage, UserError } from '../../common/errors.ts';
import { carryOut } from '../carry-out.ts';
import type { Environment } from '../modes/servers.ts';
import type { Plan, ReportPage, StepState } from '../step.ts';
import { Page } from './pages.tsx';

/** How it went: what is shown once more, in plain lines, when the screens are left. */
export type Result =
  | { readonly title: string; readonly pages: readonly ReportPage[] }
  | { readonly error: unknown; readonly logFile: string | null };

interface WorkProps {
  readonly plan: Plan;
  readonly environment: Environment;
  readonly onRunning: (isRunning: boolean) => void;
  readonly onResult: (result: Result) => void;
  /** Back to the review, after a failure. */
  readonly onBack: () => void;
}

/** Header, tabs, what it is at, keys, gaps, and one that stays free so that nothing scrolls. */
const OTHER_ROWS = 9;
const FEWEST_ROWS = 3;
const MAX_LOG_LINES = 2_000;

const GLYPHS: Record<StepState | 'waiting', { glyph: string; color: string | undefined }> = {
  waiting: { glyph: ' ', color: undefined },
  started: { glyph: '⋯', color: 'yellow' },
  skipped: { glyph: '✓', color: 'green' },
  done: { glyph: '✓', color: 'green' },
  failed: { glyph: '✗', color: 'red' },
};

function usePlan({ plan, environment, onRunning, onResult }: WorkProps) {
  const [states, setStates] = useState<ReadonlyMap<string, StepState>>(new Map());
  const [log, setLog] = useState<readonly string[]>([]);
  const [progress, setProgress] = useState('');
  const [pages, setPages] = useState<readonly ReportPage[] | null>(null);
  const [failure, setFailure] = useState<readonly string[] | null>(null);
  // Once: the plan is carried out when the screen comes, whatever is drawn later.
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above
  useEffect(() => {
    onRunning(true);
    carryOut(
      plan,
      {
        step(id, state) {
          setProgress('');
          setStates((before) => new Map(before).set(id, state));
        },
        log: (line) => setLog((before) => [...before, line].slice(-MAX_LOG_LINES)),
        progress: setProgress,
      },
      environment,
    ).then(
      (report) => {
        setPages(report);
        onResult({ title: plan.title, pages: report });
        onRunning(false);
      },
      (error: unknown) => {
        setFailure(failureLines(error, plan.logFile));
        onResult({ error, logFile: plan.logFile });
        onRunning(false);
      },
    );
  }, []);
  return { states, log, progress, pages, failure };
}

/** What went wrong, what to do, and where more of it is written. */
export function failureLines(error: unknown, logFile: string | null): string[] {
  const hint = error instanceof UserError ? (error.hint ?? '') : '';
  return [
    ...errorMessage(error).split('\n'),
    ...(hint === '' ? [] : ['', ...hint.split('\n')]),
    ...(logFile !== null && existsSync(logFile) ? ['', `All of it is in ${logFile}.`] : []),
  ];
}

export function Work(props: WorkProps) {
  const { plan } = props;
  const { states, log, progress, pages, failure } = usePlan(props);
  const ends = failure !== null ? ['Problem'] : (pages ?? []).map(({ title }) => title);
  const tabs = ['Steps', 'Log', ...ends];
  const isOver = pages !== null || failure !== null;
  // What somebody looked at while it ran gives way to what came of it.
  const [chosen, setChosen] = useState({ tab: 0, isOver: false });
  const atFirst = isOver && ends.length > 0 ? 2 : 0;
  const tab = chosen.isOver === isOver ? chosen.tab : atFirst;
  const setTab = (next: number) => setChosen({ tab: next % tabs.length, isOver });
  useInput((input, key) => {
    if (key.tab || key.rightArrow) setTab(tab + 1);
    if (key.leftArrow) setTab(tab + tabs.length - 1);
    if (input === 'b' && failure !== null) props.onBack();
  });
  const { rows: height, columns } = useWindowSize();
  const place = { rows: Math.max(FEWEST_ROWS, height - OTHER_ROWS), columns };
  const running = plan.steps.find(({ id }) => states.get(id) === 'started');
  const now = progress === '' ? (running?.title ?? 'Looking at this machine') : progress;
  return (
    <Box flexDirection="column">
      <Tabs titles={tabs} at={tab} />
      <Box flexDirection="column" marginY={1}>
        {tab === 0 && <Steps plan={plan} states={states} rows={place.rows} />}
        {tab === 1 && <Page key="log" lines={log} fromEnd {...place} />}
        {tab >= 2 && (
          <Page key={tabs[tab]} lines={failure ?? pages?.[tab - 2]?.lines ?? []} {...place} />
        )}
      </Box>
      {!isOver && (
        <Text color="yellow" wrap="truncate-end">
          ⋯ {now}
        </Text>
      )}
      {failure !== null && <Text color="red">✗ It was not done.</Text>}
      {pages !== null && <Text color="green">✓ Done.</Text>}
      <Text dimColor>
        tab other pages · {failure === null ? '' : 'b back to what will be done · '}q{' '}
        {isOver ? 'quit' : 'stop'}
      </Text>
    </Box>
  );
}

function Tabs({ titles, at }: { readonly titles: readonly string[]; readonly at: number }) {
  return (
    <Box gap={1}>
      {titles.map((title, index) => (
        // Told apart without colour, too.
        <Text key={title} bold={index === at} dimColor={index !== at}>
          {index === at ? `[${title}]` : ` ${title} `}
        </Text>
      ))}
    </Box>
  );
}

function Steps({
  plan,
  states,
  rows,
}: {
  readonly plan: Plan;
  readonly states: ReadonlyMap<string, StepState>;
  readonly rows: number;
}) {
  const current = plan.steps.findIndex(
    ({ id }) => !['done', 'skipped'].includes(states.get(id) ?? ''),
  );
  // The step that runs stays in sight.
  const first = Math.max(0, Math.min(current - Math.floor(rows / 2), plan.steps.length - rows));
  return (
    <>
      {plan.steps.slice(first, first + rows).map(({ id, title }) => {
        const state = states.get(id);
        const { glyph, color } = GLYPHS[state ?? 'waiting'];
        return (
          <Text key={id} dimColor={state === undefined} wrap="truncate-end">
            <Text color={color}>{glyph}</Text> {title}
            {state === 'skipped' ? ' (was done)' : ''}
          </Text>
        );
      })}
    </>
  );
}
