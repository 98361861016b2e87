/** The fields of sessions that the commands show, and the statuses they filter by. */
import { sessionStatuses } from '../../common/session-status.ts';
import type { Field } from '../output/fields.ts';

const field = (key: string, extra: Omit<Field, 'key'> = {}): Field => ({ key, ...extra });

const containerFields: readonly Field[] = [
  field('id', { jsonKey: 'kernel_id', title: 'Kernel ID' }),
  field('cluster_role'),
  field('cluster_idx'),
  field('cluster_hostname'),
  field('session_id'),
  field('image'),
  field('registry'),
  field('status'),
  field('status_info'),
  field('status_data', { format: 'nested' }),
  field('status_changed'),
  field('agent'),
  field('container_id'),
  field('resource_opts', { format: 'nested' }),
  field('occupied_slots', { format: 'slots' }),
  field('live_stat', { format: 'nested' }),
  field('last_stat', { format: 'nested' }),
];

/** Every field a list may show, by query name. */
export const sessionFields: ReadonlyMap<string, Field> = new Map(
  [
    field('id', { jsonKey: 'session_id', title: 'Session ID' }),
    field('main_kernel_id', { title: 'Main Kernel ID' }),
    field('tag'),
    field('name'),
    field('type'),
    field('priority'),
    field('image'),
    field('architecture'),
    field('registry'),
    field('cluster_mode'),
    field('cluster_size'),
    field('domain_name'),
    field('group_name', { title: 'Project' }),
    field('group_id'),
    field('user_email'),
    field('user_id'),
    field('access_key', { title: 'Owner Access Key' }),
    field('status'),
    field('status_info'),
    field('status_data', { format: 'nested' }),
    field('status_changed', { title: 'Last Updated' }),
    field('created_at'),
    field('terminated_at'),
    field('starts_at'),
    field('startup_command'),
    field('result'),
    field('scaling_group'),
    field('occupying_slots', { format: 'slots' }),
    field('requested_slots', { format: 'slots' }),
    field('containers', { format: 'items', subfields: containerFields }),
    field('dependencies', {
      format: 'items',
      subfields: [field('name'), field('id')],
    }),
  ].map((one) => [one.key, one]),
);

/** Fields by name, in that order; unknown names are left out. */
export function fieldsNamed(names: readonly string[]): Field[] {
  return names.map((name) => sessionFields.get(name)).filter((one) => one !== undefined);
}

/** Older servers know no DEPRIORITIZING and refuse the whole list for it. */
export const SESSION_STATUSES = sessionStatuses.filter((status) => status !== 'DEPRIORITIZING');

const LIVE_STATUSES = SESSION_STATUSES.filter(
  (status) => !['RESTARTING', 'TERMINATED', 'CANCELLED'].includes(status),
);

/** The statuses that a list shows, comma-separated as the query wants them. */
export function statusFilter(choice: {
  status?: string;
  running?: boolean;
  dead?: boolean;
  all?: boolean;
}): string {
  if (choice.all || choice.status === 'ALL') return SESSION_STATUSES.join(',');
  if (choice.status !== undefined) return choice.status;
  if (choice.running) return 'CREATING,RUNNING,RUNNING_DEGRADED';
  if (choice.dead) return 'CANCELLED,TERMINATED';
  return LIVE_STATUSES.join(',');
}
