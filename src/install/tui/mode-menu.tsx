/** The first screen: what there is to do. */
import { Box, Text, useInput } from 'ink';
import { useRef, useState } from 'react';
import { checkoutRoot } from '../../common/executable.ts';
import type { InstallRequest, Maintenance, Mode } from '../request.ts';

interface Entry {
  readonly mode: Mode;
  readonly maintenance?: Maintenance;
  readonly title: string;
  readonly detail: string;
}

const ENTRIES: readonly Entry[] = [
  {
    mode: 'standalone',
    title: 'Cluster of this machine',
    detail: 'One process with everything in it, PostgreSQL too. Ready in seconds.',
  },
  {
    mode: 'develop',
    title: 'Development',
    detail: 'The components from this checkout, on PostgreSQL, Redis and etcd.',
  },
  {
    mode: 'package',
    title: 'Production',
    detail: 'Separate components in a folder of their own, as services of the system.',
  },
  {
    mode: 'join',
    title: 'Node',
    detail: 'This machine runs sessions of a cluster whose manager is elsewhere.',
  },
  {
    mode: 'configure',
    title: 'Configure',
    detail: 'Other addresses, ports or accelerators for an installation that is there.',
  },
  {
    mode: 'maintain',
    maintenance: 'upgrade',
    title: 'Upgrade',
    detail: 'Put this version in the place of an installed one; it is taken back if it fails.',
  },
  {
    mode: 'maintain',
    maintenance: 'repair',
    title: 'Repair',
    detail: 'Go through all steps of an installation again and do what is missing.',
  },
  {
    mode: 'maintain',
    maintenance: 'move',
    title: 'Move data to servers',
    detail: "A cluster of this machine's data goes to PostgreSQL, Redis and etcd elsewhere.",
  },
  {
    mode: 'maintain',
    maintenance: 'uninstall',
    title: 'Uninstall',
    detail: 'Stop and remove an installation; its data stays.',
  },
];

/** `develop` needs sources. */
const isPossible = ({ mode }: Entry): boolean => mode !== 'develop' || checkoutRoot !== null;

export function ModeMenu({
  request,
  onChoose,
}: {
  readonly request: InstallRequest;
  readonly onChoose: (mode: Mode, maintenance: Maintenance | undefined) => void;
}) {
  const entries = ENTRIES.filter(isPossible);
  const [at, setAt] = useState(
    Math.max(
      0,
      entries.findIndex(
        ({ mode, maintenance = request.maintenance }) =>
          mode === request.mode && maintenance === request.maintenance,
      ),
    ),
  );
  // Several keys may come before the next drawing, in one piece.
  const current = useRef(at);
  const move = (by: number) => {
    current.current = (current.current + entries.length + by) % entries.length;
    setAt(current.current);
  };
  useInput((_input, key) => {
    if (key.upArrow) move(-1);
    if (key.downArrow) move(1);
    const chosen = entries[current.current];
    if (key.return && chosen) onChoose(chosen.mode, chosen.maintenance);
  });
  return (
    <Box flexDirection="column">
      <Text>What do you want to do?</Text>
      <Box flexDirection="column" marginY={1}>
        {entries.map(({ title }, index) => (
          <Text key={title} color={index === at ? 'cyan' : undefined} bold={index === at}>
            {index === at ? '❯ ' : '  '}
            {title}
          </Text>
        ))}
      </Box>
      <Text wrap="wrap">{entries[at]?.detail}</Text>
      <Box marginTop={1}>
        <Text dimColor>↑ ↓ choose · enter go on · q quit</Text>
      </Box>
    </Box>
  );
}
