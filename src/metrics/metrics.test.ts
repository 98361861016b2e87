/** What Prometheus reads: names and labels are a contract with dashboards. */
import { expect, test } from 'bun:test';
import { type MetricValue, UNBOUNDED } from '../common/protocol/statistics.ts';
import { callMetrics } from './calls.ts';
import { createRegistry, exposition } from './registry.ts';
import { requestMetrics } from './requests.ts';
import { utilizationMetrics } from './utilization.ts';

const value = (current: string, capacity: string): MetricValue => ({
  ...{ current, capacity, pct: '50.00', unit_hint: 'percent', 'stats.version': null },
  ...{ 'stats.min': '0', 'stats.max': '0', 'stats.sum': '0', 'stats.avg': '0' },
  ...{ 'stats.diff': '0', 'stats.rate': '0' },
});
const linesOf = async (registry: ReturnType<typeof createRegistry>, name: string) =>
  (await (await exposition(registry)).text()).split('\n').filter((line) => line.startsWith(name));

test('requests are counted by operation, status and what was wrong', async () => {
  const registry = createRegistry();
  const note = requestMetrics(registry);
  const endpoint = '/session/{name}';
  note({ method: 'GET', endpoint, status: 200, errorCode: null, elapsedMs: 30 });
  note({
    ...{ method: 'GET', endpoint, status: 404, elapsedMs: 20 },
    errorCode: 'session_read_not-found_here',
  });
  const labels = 'method="GET",endpoint="/session/{name}"';
  expect(await linesOf(registry, 'backendai_api_request_count')).toEqual([
    `backendai_api_request_count{${labels},domain="",operation="",error_detail="",status_code="200"} 1`,
    `backendai_api_request_count{${labels},domain="session",operation="read",error_detail="not-found_here",status_code="404"} 1`,
  ]);
  const [sum] = await linesOf(registry, 'backendai_api_request_duration_sec_sum');
  expect(sum).toEndWith(' 0.03');
  expect((await exposition(registry)).headers.get('content-type')).toStartWith('text/plain');
});

test('calls are counted, failed ones by their problem too', async () => {
  const registry = createRegistry();
  const note = callMetrics(registry);
  note({ method: 'ping', problem: null, elapsedMs: 1 });
  note({ method: 'ping', problem: 'KernelNotFound', elapsedMs: 1 });
  expect(await linesOf(registry, 'backendai_rpc_requests_total')).toEqual([
    'backendai_rpc_requests_total{method="ping"} 2',
  ]);
  expect(await linesOf(registry, 'backendai_rpc_failure_requests_total')).toEqual([
    'backendai_rpc_failure_requests_total{method="ping",exception="KernelNotFound"} 1',
  ]);
});

test('devices and kernels are told of while they are measured', async () => {
  const registry = createRegistry();
  const { note, count } = utilizationMetrics(registry, 'i-one');
  const devices = {
    cuda_util: { g0: value('40', '100') },
    net_rx: { node: value('7', UNBOUNDED) },
  };
  const labels = { kernel_id: 'k', session_id: 's', user_id: 'u', project_id: 'p' };
  count('trigger');
  note({
    node: { node: {}, devices },
    kernels: [{ labels, metrics: { cuda_util: value('40', '100') } }],
  });
  const device = 'device_metric_name="cuda_util",agent_id="i-one",device_id="g0"';
  expect(await linesOf(registry, 'backendai_device_utilization{')).toEqual([
    `backendai_device_utilization{${device},value_type="current"} 40`,
    `backendai_device_utilization{${device},value_type="capacity"} 100`,
    `backendai_device_utilization{${device},value_type="pct"} 50`,
    // Without bound there is no capacity to tell.
    'backendai_device_utilization{device_metric_name="net_rx",agent_id="i-one",device_id="node",value_type="current"} 7',
    'backendai_device_utilization{device_metric_name="net_rx",agent_id="i-one",device_id="node",value_type="pct"} 50',
  ]);
  expect(await linesOf(registry, 'backendai_container_utilization{')).toHaveLength(3);
  expect((await linesOf(registry, 'backendai_container_utilization{'))[0]).toContain(
    'kernel_id="k",session_id="s",user_id="u",project_id="p",container_metric_name="cuda_util"',
  );
  note({ node: { node: {}, devices: {} }, kernels: [] });
  expect(await linesOf(registry, 'backendai_container_utilization{')).toEqual([]);
  expect(await linesOf(registry, 'backendai_device_utilization{')).toEqual([]);
  expect(await linesOf(registry, 'backendai_stat_task_trigger_count{')).toEqual([
    'backendai_stat_task_trigger_count{agent_id="i-one",stat_scope="all"} 1',
  ]);
});
