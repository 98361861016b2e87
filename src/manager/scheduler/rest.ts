/** `POST /resource/what-if`: what would become of a session, without making it. Not upstream's. */
import { BackendError } from '../../common/errors.ts';
import { resolveOwner } from '../auth/delegation.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import type { Route } from '../http/route.ts';
import { createSessionBody } from '../session/create-request.ts';
import { creationRequest } from '../session/rest-create.ts';
import { trySession } from '../session/service.ts';
import { explainRequest, hidesAgents } from './explain-service.ts';
import { shapeExplanation } from './explain-shape.ts';

export const schedulerRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      method: 'POST',
      path: '/resource/what-if',
      gate: 'read',
      auth: 'user',
      summary: 'Tell whether a session would start now, and if not why and what would help.',
      takes: { body: createSessionBody },
    },
    async (request, { body }) => {
      const owner = await resolveOwner(ctx.sql, request.caller, body.owner_access_key);
      const item = await trySession(ctx, owner, creationRequest(ctx, request, body));
      const explanation = await explainRequest(ctx, item);
      if (!explanation) throw new BackendError('InternalServerError');
      const { session_id: _made, ...answer } = shapeExplanation(
        explanation,
        hidesAgents(ctx, request.caller),
      );
      return { json: answer };
    },
  ),
];
