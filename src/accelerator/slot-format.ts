/** How accelerator families describe their slots when nothing else says so. */
import type { SlotFormat } from '../common/protocol/manager.ts';

/** A slot of whole devices that no configuration describes. */
export const deviceFormat = (key: string): SlotFormat => ({
  human_readable_name: key.toUpperCase(),
  description: `${key.toUpperCase()} device`,
  display_unit: key.toUpperCase(),
  number_format: { binary: false, round_length: 0 },
  display_icon: 'gpu1',
});

/** A slot of shares of devices. */
export const sharesFormat = (key: string): SlotFormat => ({
  ...deviceFormat(key),
  description: `${key.toUpperCase()} device (fractional)`,
  number_format: { binary: false, round_length: 2 },
});
