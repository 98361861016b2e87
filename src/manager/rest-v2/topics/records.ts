/** Records: changes, sign-ins, and those that last. */
import * as v from 'valibot';
import { uuidText } from '../../http/parameters.ts';
import { admin, name, type Topic, user } from '../declare.ts';

const ofSession = v.object({ session_id: uuidText });

export const records: Topic = {
  searches: [
    ['audit-logs', 'adminAuditLogsV2', 'superadmin', 'changes'],
    ['login-history', 'adminLoginHistoryV2', 'superadmin', 'sign-ins'],
    ['login-history/my', 'myLoginHistoryV2', 'user', 'sign-ins of yours'],
    ['login-sessions', 'adminLoginSessionsV2', 'superadmin', 'sign-ins that last'],
    ['login-sessions/my', 'myLoginSessionsV2', 'user', 'sign-ins of yours that last'],
  ],
  changes: [
    {
      ...{ ...admin, method: 'POST', path: 'login-sessions/revoke' },
      mutation: 'adminRevokeLoginSession',
      what: 'End a sign-in.',
      body: ofSession,
      given: (_params, { session_id: sessionId }) => ({ sessionId }),
    },
    {
      ...{ ...user, method: 'POST', path: 'login-sessions/my/revoke' },
      mutation: 'myRevokeLoginSession',
      what: 'End a sign-in of yours.',
      body: ofSession,
      given: (_params, { session_id: sessionId }) => ({ sessionId }),
    },
    {
      ...{ ...admin, method: 'POST', path: 'login-sessions/unblock-user' },
      mutation: 'adminUnblockUser',
      what: 'Let somebody sign in again who used too many wrong passwords.',
      body: v.object({ username: name }),
      given: (_params, { username }) => ({ username }),
    },
  ],
};
