/** From a request to the plan that fulfils it. */
import { configurePlan } from './modes/configure.ts';
import { joinPlan } from './modes/join.ts';
import { maintenancePlan } from './modes/maintain.ts';
import { type Environment, serversPlan } from './modes/servers.ts';
import { standalonePlan } from './modes/standalone.ts';
import type { InstallRequest } from './request.ts';
import type { Plan } from './step.ts';

export function planFor(request: InstallRequest, environment: Environment): Plan {
  switch (request.mode) {
    case 'standalone':
      return standalonePlan(request, environment);
    case 'develop':
    case 'package':
      return serversPlan(request, environment);
    case 'join':
      return joinPlan(request, environment);
    case 'configure':
      return configurePlan(request, environment);
    case 'maintain':
      return maintenancePlan(request, environment);
  }
}
