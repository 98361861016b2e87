/** `admin resource usage-per-month`, `usage-per-period`, `recalculate-usage`: what projects used. */
import type { MonthUsage, PeriodUsage } from '../../../client/index.ts';
import { argument, defineCommand, restArguments, UsageError } from '../../../common/command.ts';
import { printStatus } from '../../../common/glyphs.ts';
import { projectId } from '../../admin/shared.ts';
import { connectAdmin } from '../../connect.ts';
import { idText } from '../../framework/values.ts';
import { printJson } from '../../output/json.ts';
import { withoutControls } from '../../output/table.ts';

const quiet = { announces: false };

/** @param digits how many, for the form. */
const digits = (count: number, form: string) => (text: string) => {
  if (text.length === count && /^\d+$/.test(text)) return text;
  throw new UsageError(`'${text}' is not of the form ${form}.`);
};

const shown = (value: number | string | null | undefined): string => String(value ?? '(unknown)');
const list = (values: readonly string[] | null): string =>
  values === null || values.length === 0 ? '(none)' : values.join(', ');

function containerLines(info: MonthUsage['c_infos'][number]): string[] {
  return [
    `    Identity: ${shown(info.name)} / ${shown(info.access_key)}`,
    `    Image: ${shown(info.image_name)}`,
    `    Duration: ${shown(info.used_days)} day(s) (${shown(info.created_at)} ~ ${info.terminated_at ?? ''})`,
    `    Allocated: ${shown(info.smp)} core(s) / ${shown(info.mem_allocated)} mem (bytes)`,
    `    CPU / Memory Used: ${shown(info.cpu_used)} (s) / ${shown(info.mem_used)} (bytes)`,
    `    I/O Read / Write: ${shown(info.io_read)} / ${shown(info.io_write)} (bytes)`,
    `    NFS mounted: ${list(info.nfs)}`,
    `    GPU Device: ${list(info.device_type)}`,
    `    ${'-'.repeat(40)}`,
  ];
}

function monthLines(item: MonthUsage): string[] {
  return [
    `Group: ${item.g_name} (${item.g_id})`,
    `  Domain: ${item.domain_name}`,
    `  Total Allocated: ${shown(item.g_smp)} core(s) / ${shown(item.g_mem_allocated)} mem (bytes)`,
    `  Total CPU / Memory Used: ${shown(item.g_cpu_used)} (s) / ${shown(item.g_mem_used)} (bytes)`,
    `  Total I/O Read / Write: ${shown(item.g_io_read)} / ${shown(item.g_io_write)} (bytes)`,
    `  GPU Devices: ${list(item.g_device_type)}`,
    `  Containers (${item.c_infos.length}):`,
    ...item.c_infos.flatMap(containerLines),
    '',
  ];
}

function periodLines({
  project_name: name,
  project_id: id,
  domain_name: domain,
  total_usage: total,
}: PeriodUsage) {
  return [
    `Project: ${name ?? ''} (${id})`,
    `  Domain: ${domain}`,
    `  Total CPU / Memory Used: ${shown(total.cpu_used)} (s) / ${shown(total.mem_used)} (bytes)`,
    `  Total I/O Read / Write: ${shown(total.io_read)} / ${shown(total.io_write)} (bytes)`,
    `  GPU Devices: ${list(total.device_type)}`,
    `  Total GPU Allocated / GPU Memory Allocated: ${shown(total.gpu_allocated)} / ${shown(total.gpu_mem_allocated)} (bytes)`,
  ];
}

export const perMonth = defineCommand({
  help: 'Show what the sessions of projects used in a month, session by session.',
  positionals: {
    month: argument('MONTH', 'The month, YYYYMM.', digits(6, 'YYYYMM')),
    groups: restArguments(
      'GROUP_IDS',
      'Ids of projects; all of them when absent.',
      idText('See `backend.ai admin group list`.'),
    ),
  },
  async run({ args, io, globals }) {
    const client = await connectAdmin({ io, globals }, quiet);
    const items = await client.report.usageOfMonth(args.month, args.groups);
    if (globals.output === 'json') printJson(io, items);
    else {
      for (const line of items.flatMap(monthLines)) io.stdout.write(`${withoutControls(line)}\n`);
    }
    return 0;
  },
});

const DAY_FORM = 'YYYYMMDD';

export const perPeriod = defineCommand({
  help: 'Show what the sessions of a project used from one day to another.',
  positionals: {
    group: projectId,
    first: argument('START_DATE', `The first day, ${DAY_FORM}.`, digits(8, DAY_FORM)),
    last: argument('END_DATE', `The last day, ${DAY_FORM}.`, digits(8, DAY_FORM)),
  },
  async run({ args, io, globals }) {
    const client = await connectAdmin({ io, globals }, quiet);
    const items = await client.report.usageOfPeriod(args.group, args.first, args.last);
    if (globals.output === 'json') printJson(io, items);
    else {
      for (const line of items.flatMap(periodLines)) io.stdout.write(`${withoutControls(line)}\n`);
    }
    return 0;
  },
});

export const recalculate = defineCommand({
  help: 'Correct the books of what agents and sessions hold.',
  async run({ io, globals }) {
    const client = await connectAdmin({ io, globals }, quiet);
    await client.report.recalculateUsage();
    if (globals.output === 'json') printJson(io, { ok: true });
    else printStatus(io.stderr, 'done', 'Resource allocation is re-calculated.');
    return 0;
  },
});
