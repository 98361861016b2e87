/** The second screen: what will be done, and what of it can be changed. Nothing is done yet. */
import { Box, Text, useInput, useWindowSize } from 'ink';
import { useRef, useState } from 'react';
import { errorMessage, UserError } from '../../common/errors.ts';
import type { Environment } from '../modes/servers.ts';
import { planFor } from '../plan.ts';
import type { InstallRequest } from '../request.ts';
import type { Plan } from '../step.ts';
import { type Field, type Group, isGroup, isMissing } from './field.ts';
import { fieldsOf } from './fields.ts';
import { Form } from './form.tsx';
import { Page, wrapped } from './pages.tsx';

interface ReviewProps {
  readonly request: InstallRequest;
  readonly environment: Environment;
  readonly onChange: (request: InstallRequest) => void;
  readonly onBack: () => void;
  readonly onGo: () => void;
}

/** The plan, or why there is none: its folder may hold no installation. */
function planOrProblem(request: InstallRequest, environment: Environment): Plan | string {
  try {
    return planFor(request, environment);
  } catch (error) {
    const hint = error instanceof UserError ? (error.hint ?? '') : '';
    return `${errorMessage(error)}\n${hint}`.trimEnd();
  }
}

/** Where somebody is in the form. */
interface Place {
  /** The label of the group that is open; null: none. */
  readonly group: string | null;
  /** The row that is chosen at first there. */
  readonly at: number;
  /** Why they were brought there. */
  readonly problem: string | null;
}

const groupIn = (fields: readonly Field[], label: string | null): Group | undefined =>
  fields.filter(isGroup).find((group) => group.label === label);

/** The first thing that has to be said before anything can be done. */
function missingPlace(fields: readonly Field[]): Place | null {
  const at = fields.findIndex(isMissing);
  const field = fields[at];
  if (field === undefined) return null;
  if (!isGroup(field)) return { group: null, at, problem: `${field.label} is needed.` };
  const inside = field.fields.findIndex(isMissing);
  const label = field.fields[inside]?.label ?? field.label;
  return { group: field.label, at: inside, problem: `${label} is needed.` };
}

/** Header, the gap below it, and one that stays free so that nothing scrolls. */
const OWN_ROWS = 3;
/** Of what will be done, however many fields there are: title, a line, a gap. */
const FEWEST_SUMMARY_ROWS = 3;

export function Review({ request, environment, onChange, onBack, onGo }: ReviewProps) {
  // A key may come before what the one before it changed was drawn.
  const latest = useRef(request);
  latest.current = request;
  const fieldsNow = () => fieldsOf(latest.current);
  const change = (changed: InstallRequest) => {
    latest.current = changed;
    onChange(changed);
  };
  const fields = fieldsNow();
  const [place, setPlace] = useState<Place>({ group: null, at: fields.length, problem: null });
  const [isFull, setFull] = useState(false);
  const { rows: height, columns } = useWindowSize();
  const plan = planOrProblem(request, environment);
  const open = groupIn(fields, place.group);
  const room = height - OWN_ROWS;
  const go = () => {
    const missing = missingPlace(fieldsNow());
    if (missing !== null) setPlace(missing);
    else onGo();
  };
  if (open !== undefined) {
    return (
      <GroupPage
        key={`${open.label} ${place.at}`}
        group={open}
        fieldsNow={() => groupIn(fieldsNow(), open.label)?.fields ?? []}
        place={place}
        rows={room}
        onChange={change}
        onBack={() => setPlace({ group: null, at: fields.indexOf(open), problem: null })}
      />
    );
  }
  if (isFull && typeof plan !== 'string') {
    return <InFull plan={plan} rows={room} columns={columns} onBack={() => setFull(false)} />;
  }
  // The form shows a part of its rows where there is no room for all.
  const formRows = Math.min(fields.length + 1 + FORM_OWN_ROWS, room - FEWEST_SUMMARY_ROWS);
  const summaryRows = room - formRows;
  return (
    <Box flexDirection="column">
      {typeof plan === 'string' ? (
        <Box flexDirection="column" marginBottom={1}>
          {wrapped(plan.split('\n'), columns)
            .slice(0, summaryRows - 1)
            .map((line) => (
              <Text key={line} color="red">
                {line}
              </Text>
            ))}
        </Box>
      ) : (
        <Summary plan={plan} rows={summaryRows - 1} columns={columns} />
      )}
      <Form
        key={`${place.at} ${place.problem}`}
        fieldsNow={fieldsNow}
        start={place}
        rows={formRows}
        last={{ label: 'Go', isPossible: typeof plan !== 'string' && plan.steps.length > 0 }}
        keys="↑ ↓ choose · enter go · d in full · esc back · ^C quit"
        onChange={change}
        onOpen={(group) => setPlace({ group: group.label, at: 0, problem: null })}
        onFull={(at) => {
          setPlace({ group: null, at, problem: null });
          setFull(true);
        }}
        onLast={go}
        onBack={onBack}
      />
    </Box>
  );
}

/** In the place of what there is no room for. */
const CUT = '… (d shows all of it)';

/** Of the form itself: a line for what is to be said, a gap, the keys. */
const FORM_OWN_ROWS = 3;

function GroupPage({
  group,
  fieldsNow,
  place,
  rows,
  onChange,
  onBack,
}: {
  readonly group: Group;
  readonly fieldsNow: () => readonly Field[];
  readonly place: Place;
  readonly rows: number;
  readonly onChange: (request: InstallRequest) => void;
  readonly onBack: () => void;
}) {
  return (
    <Box flexDirection="column">
      <Text wrap="truncate-end">
        <Text bold>{group.label}</Text>
        {group.about === undefined ? '' : ' · '}
        {group.about}
      </Text>
      <Box marginTop={1}>
        <Form
          fieldsNow={fieldsNow}
          start={place}
          rows={rows - 2}
          last={{ label: 'Back', isPossible: true }}
          keys="↑ ↓ choose · enter change · esc back · ^C quit"
          onChange={onChange}
          onLast={onBack}
          onBack={onBack}
        />
      </Box>
    </Box>
  );
}

/** Everything that will be looked at and done, however long that is. */
function InFull({
  plan,
  rows,
  columns,
  onBack,
}: {
  readonly plan: Plan;
  readonly rows: number;
  readonly columns: number;
  readonly onBack: () => void;
}) {
  useInput((input, key) => {
    if (key.escape || key.return || input === 'd') onBack();
  });
  const lines = [
    ...plan.summary,
    ...(plan.checks.length === 0
      ? []
      : ['', 'Looked at first:', ...plan.checks.map(({ title }) => `  ${title}`)]),
    ...(plan.steps.length === 0
      ? []
      : [
          '',
          'Then:',
          ...plan.steps.map(({ title }, at) => ` ${String(at + 1).padStart(2)}. ${title}`),
        ]),
  ];
  return (
    <Box flexDirection="column">
      <Text bold>{plan.title}</Text>
      <Box flexDirection="column" marginY={1}>
        <Page lines={lines} rows={rows - FULL_OWN_ROWS} columns={columns} />
      </Box>
      <Text dimColor>↑ ↓ page up, page down · esc back · ^C quit</Text>
    </Box>
  );
}

/** Title, gaps, keys. */
const FULL_OWN_ROWS = 4;

function Summary({
  plan,
  rows,
  columns,
}: {
  readonly plan: Plan;
  readonly rows: number;
  readonly columns: number;
}) {
  // Where there is room for one of both only, it is what will become of the machine.
  const room = Math.max(1, rows - 1);
  const summary = wrapped(plan.summary, columns);
  const shownSummary = summary.length > room ? [...summary.slice(0, room - 1), CUT] : summary;
  // With the gap before the steps.
  const stepRows = room - shownSummary.length - 1;
  const shown = plan.steps.length <= stepRows ? plan.steps.length : Math.max(0, stepRows - 1);
  const more = plan.steps.length - shown;
  return (
    <Box flexDirection="column" marginBottom={1}>
      <Text bold>{plan.title}</Text>
      {shownSummary.map((line, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines have no names, and never move
        <Text key={index} wrap="truncate-end">
          {line === '' ? ' ' : line}
        </Text>
      ))}
      {stepRows > 0 && plan.steps.length > 0 && (
        <Box flexDirection="column" marginTop={1}>
          {plan.steps.slice(0, shown).map(({ id, title }, index) => (
            <Text key={id} dimColor wrap="truncate-middle">
              {String(index + 1).padStart(2)}. {title}
            </Text>
          ))}
          {more > 0 && (
            <Text dimColor>{shown === 0 ? `    ${more} steps` : `    and ${more} more`}</Text>
          )}
        </Box>
      )}
    </Box>
  );
}
