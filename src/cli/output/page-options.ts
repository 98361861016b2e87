/** The options of every paginated list. */
import { integer, type OptionSpecs, option } from '../../common/command.ts';

export const pageOptions = {
  filter: option(['--filter'], 'EXPR', 'Condition on fields, e.g. \'name == "x"\'.'),
  order: option(['--order'], 'EXPR', 'Field to order by, +name or -name.'),
  offset: option(['--offset'], 'INT', 'Items to skip.', integer({ min: 0 })),
  limit: option(['--limit'], 'INT', 'Most items to show.', integer({ min: 1 })),
} satisfies OptionSpecs;
