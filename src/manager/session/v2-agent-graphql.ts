/** What of sessions and kernels the newer GraphQL type of agents tells: those that an agent runs or ran. */
import type { GraphqlContext } from '../graphql/context.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { v2ListField } from '../graphql/v2-list.ts';
import {
  type KernelV2Row,
  type SessionV2Row,
  selectKernelsV2,
  selectSessionsV2,
} from './v2-store.ts';

const page =
  'before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null';

const idOf = ({ id }: { readonly id: string }): string => id;

/** Agents are shown to superadmins only, and so is what they run. */
function onAgent({ caller }: GraphqlContext, agentId: string) {
  requireAdministrator(caller);
  return { kind: 'agent', agentId } as const;
}

export const agentSessionsV2Graphql: GraphqlModule = {
  typeDefs: `
    type AgentV2 {
      kernels(filter: KernelV2Filter = null, orderBy: [KernelV2OrderBy!] = null, ${page}): KernelV2Connection
      sessions(filter: SessionV2Filter = null, orderBy: [SessionV2OrderBy!] = null, ${page}): SessionV2Connection
    }
  `,
  resolvers: {
    AgentV2: {
      kernels: (agent, args, context, info) => {
        const scope = onAgent(context, agent.id);
        return v2ListField<KernelV2Row>(args, info, {
          idOf,
          load: (wish) => selectKernelsV2(context.ctx.sql, scope, args, wish),
        });
      },
      sessions: (agent, args, context, info) => {
        const scope = onAgent(context, agent.id);
        return v2ListField<SessionV2Row>(args, info, {
          idOf,
          load: (wish) => selectSessionsV2(context.ctx.sql, scope, args, wish),
        });
      },
    },
  },
};
