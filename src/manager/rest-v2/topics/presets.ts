/** Resource presets. */
import * as v from 'valibot';
import { admin, name, optional, type Topic } from '../declare.ts';

const slots = v.pipe(v.array(v.object({ resource_type: name, quantity: name })), v.maxLength(100));

export const presets: Topic = {
  searches: [['resource-presets', 'adminResourcePresetsV2', 'superadmin', 'resource presets']],
  ones: [
    {
      path: 'resource-presets/:preset_id',
      field: 'adminResourcePresetV2',
      auth: 'superadmin',
      place: ({ preset_id }) => ({ id: preset_id }),
      what: 'a resource preset',
    },
  ],
  changes: [
    {
      ...{ ...admin, method: 'POST', path: 'resource-presets' },
      mutation: 'adminCreateResourcePresetV2',
      what: 'Make a resource preset.',
      body: v.looseObject({ name, resource_slots: slots }),
    },
    {
      ...{ ...admin, method: 'PATCH', path: 'resource-presets/:preset_id' },
      mutation: 'adminUpdateResourcePresetV2',
      what: 'Change a resource preset.',
      body: v.looseObject({ name: optional, resource_slots: v.nullish(slots) }),
      given: ({ preset_id: id }, input) => ({ input: { ...input, id } }),
    },
    {
      ...{ ...admin, method: 'DELETE', path: 'resource-presets/:preset_id' },
      mutation: 'adminDeleteResourcePresetV2',
      what: 'Remove a resource preset.',
      given: ({ preset_id: id }) => ({ id }),
    },
  ],
};
