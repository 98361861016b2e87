/** `admin announcement`: a message that everybody sees. */
import { defineCommand, option } from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { printStatus } from '../../../common/glyphs.ts';
import { confirmed, yes } from '../../admin/shared.ts';
import { connectAdmin } from '../../connect.ts';
import { editText } from '../../framework/editor.ts';
import { printJson } from '../../output/json.ts';
import { rememberAnnouncement, seenAnnouncement } from '../../state.ts';

const TEMPLATE = '<!-- The announcement, in Markdown. Leave this file as it is to cancel. -->\n';

export const get = defineCommand({
  async run({ io, globals }) {
    const client = await connectAdmin({ io, globals }, { announces: false });
    const { enabled, message } = await client.cluster.announcement();
    if (globals.output === 'json') printJson(io, { enabled, message });
    else io.stdout.write(`${enabled ? (message ?? '') : 'No announcements.'}\n`);
    return 0;
  },
});

export const update = defineCommand({
  help: 'Announce something. Without --message your editor opens.',
  options: { message: option(['-m', '--message'], 'TEXT', 'The announcement, in Markdown.') },
  async run({ options, io, globals }) {
    const text = options.message ?? (await editText(io, TEMPLATE, 'announcement.md'));
    if (text === null) {
      printStatus(io.stderr, 'info', 'Cancelled.');
      return 1;
    }
    const client = await connectAdmin({ io, globals }, { announces: false });
    await client.cluster.setAnnouncement({ enabled: true, message: text });
    if (globals.output === 'json') printJson(io, { ok: true });
    else printStatus(io.stderr, 'done', 'Posted the announcement.');
    return 0;
  },
});

export const remove = defineCommand({
  help: 'Take the announcement down.',
  options: { yes },
  async run({ options, io, globals }) {
    if (!(await confirmed({ io }, options.yes))) return 1;
    const client = await connectAdmin({ io, globals }, { announces: false });
    await client.cluster.setAnnouncement({ enabled: false, message: null });
    if (globals.output === 'json') printJson(io, { ok: true });
    else printStatus(io.stderr, 'done', 'Deleted the announcement.');
    return 0;
  },
});

export const dismiss = defineCommand({
  help: 'Do not show the present announcement again on this machine.',
  options: { yes },
  async run({ options, io, globals }) {
    if (!(await confirmed({ io }, options.yes))) return 1;
    const seen = seenAnnouncement(io.env);
    if (seen === null) throw new UserError('No announcement has been shown yet.');
    rememberAnnouncement(io.env, { ...seen, dismissed: true });
    if (globals.output === 'json') printJson(io, { ok: true });
    else printStatus(io.stderr, 'done', 'Dismissed the announcement that was shown last.');
    return 0;
  },
});
