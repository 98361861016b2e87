/** Sessions, their kernels and what was tried to schedule them. */
import * as v from 'valibot';
import { uuidText } from '../../http/parameters.ts';
import { name, type Topic } from '../declare.ts';

export const sessions: Topic = {
  searches: [
    ['sessions', 'adminSessionsV2', 'superadmin', 'sessions'],
    ['sessions/my', 'mySessionsV2', 'user', 'sessions of yours'],
    ['sessions/kernels', 'adminKernelsV2', 'superadmin', 'kernels'],
    [
      'scheduling-history/sessions',
      'adminSessionSchedulingHistories',
      'superadmin',
      'tries at sessions',
    ],
  ],
  scoped: [
    {
      path: 'sessions/agents/:agent_id',
      field: 'agentV2',
      list: 'sessions',
      auth: 'superadmin',
      place: ({ agent_id }) => ({ id: agent_id }),
      what: 'sessions on an agent',
    },
    {
      path: 'sessions/kernels/agents/:agent_id',
      field: 'agentV2',
      list: 'kernels',
      auth: 'superadmin',
      place: ({ agent_id }) => ({ id: agent_id }),
      what: 'kernels on an agent',
    },
    {
      path: 'sessions/projects/:project_id',
      field: 'projectSessionsV2',
      place: ({ project_id }) => ({ scope: { project_id } }),
      what: 'sessions of a project',
    },
    {
      path: 'sessions/:session_id/kernels',
      field: 'sessionKernelsV2',
      place: ({ session_id }) => ({ scope: { session_id } }),
      what: 'kernels of a session',
    },
    {
      path: 'scheduling-history/sessions/:session_id',
      field: 'sessionScopedSchedulingHistories',
      place: ({ session_id }) => ({ scope: { session_id } }),
      what: 'tries at a session',
    },
  ],
  ones: [
    {
      path: 'sessions/:session_id',
      field: 'sessionV2',
      auth: 'user',
      place: ({ session_id }) => ({ id: session_id }),
      what: 'a session',
    },
  ],
  changes: [
    {
      ...{ auth: 'user', method: 'POST', path: 'sessions/enqueue', mutation: 'enqueueSession' },
      what: 'Ask for a session; it waits until there is room for it.',
      body: v.looseObject({ session_name: name, session_type: name, image_id: uuidText }),
    },
    {
      ...{ auth: 'user', method: 'POST', path: 'sessions/terminate' },
      mutation: 'terminateSessionsV2',
      what: 'End sessions.',
      body: v.object({
        session_ids: v.pipe(v.array(uuidText), v.maxLength(100)),
        forced: v.optional(v.boolean(), false),
      }),
      given: (_params, body) => ({ sessionIds: body.session_ids, forced: body.forced }),
    },
  ],
};
