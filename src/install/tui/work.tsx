/** The third screen: the steps as they are done, the log, and at the end the report. */
import { Box, Text, useInput, useWindowSize } from 'ink';
import { useEffect, useState } from 'react';
import { errorMessage, UserError } from '../../common/errors.ts';
import { carryOut } from '../carry-out.ts';
import type { Environment } from '../modes/servers.ts';
import type { Plan, ReportPage, StepState } from '../step.ts';

interface WorkProps {
  readonly plan: Plan;
  readonly environment: Environment;
  readonly onRunning: (isRunning: boolean) => void;
  readonly onResult: (exitCode: number) => void;
}

interface Failure {
  readonly message: string;
  readonly hint: string;
}

/** Rows that are not the log's or the report's. */
const OTHER_ROWS = 8;
const FEWEST_ROWS = 3;
const MAX_LOG_LINES = 2_000;
const FAILED_EXIT_CODE = 1;

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
  const [failure, setFailure] = useState<Failure | null>(null);
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
        onResult(0);
        onRunning(false);
      },
      (error: unknown) => {
        const hint = error instanceof UserError ? (error.hint ?? '') : '';
        setFailure({ message: errorMessage(error), hint });
        onResult(error instanceof UserError ? error.exitCode : FAILED_EXIT_CODE);
        onRunning(false);
      },
    );
  }, []);
  return { states, log, progress, pages, failure };
}

/** How many rows of a terminal a text takes. */
const rowsOf = (text: string, columns: number): number =>
  text.split('\n').reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / columns)), 0);

export function Work(props: WorkProps) {
  const { plan } = props;
  const { states, log, progress, pages, failure } = usePlan(props);
  const [tab, setTab] = useState(0);
  const tabs = ['Steps', 'Log', ...(pages ?? []).map(({ title }) => title)];
  useEffect(() => {
    if (pages !== null && pages.length > 0) setTab(2);
  }, [pages]);
  useInput((_input, key) => {
    if (key.tab || key.rightArrow) setTab((tab + 1) % tabs.length);
    if (key.leftArrow) setTab((tab + tabs.length - 1) % tabs.length);
  });
  const { rows: height, columns } = useWindowSize();
  const failureRows = failure === null ? 0 : rowsOf(`${failure.message}\n${failure.hint}`, columns);
  const rows = Math.max(FEWEST_ROWS, height - OTHER_ROWS - failureRows);
  const isOver = pages !== null || failure !== null;
  return (
    <Box flexDirection="column">
      <Tabs titles={tabs} at={tab} />
      <Box flexDirection="column" marginY={1}>
        {tab === 0 && <Steps plan={plan} states={states} rows={rows} />}
        {tab === 1 && <Lines lines={log.slice(-rows)} />}
        {tab >= 2 && <Lines lines={(pages?.[tab - 2]?.lines ?? []).slice(0, rows)} />}
      </Box>
      {failure !== null && (
        <Box flexDirection="column">
          <Text color="red">{failure.message}</Text>
          <Text>{failure.hint}</Text>
        </Box>
      )}
      {!isOver && <Text color="yellow">{progress === '' ? '⋯' : `⋯ ${progress}`}</Text>}
      {pages !== null && <Text color="green">Done.</Text>}
      <Text dimColor>tab other pages · q {isOver ? 'quit' : 'stop'}</Text>
    </Box>
  );
}

function Tabs({ titles, at }: { readonly titles: readonly string[]; readonly at: number }) {
  return (
    <Box gap={2}>
      {titles.map((title, index) => (
        <Text key={title} bold={index === at} underline={index === at} dimColor={index !== at}>
          {title}
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

function Lines({ lines }: { readonly lines: readonly string[] }) {
  return (
    <>
      {lines.map((line, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines have no names, and never move
        <Text key={index} wrap="truncate-end">
          {line === '' ? ' ' : line}
        </Text>
      ))}
    </>
  );
}
