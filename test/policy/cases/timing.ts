import { clusterOf, workloadOf, type Cases } from '../canaries.ts'

const metric = (more: object) => [{ name: 'request-success-rate', thresholdRange: { min: 99 }, ...more }]
const SHORT = { annotations: { 'canarygate.dev/allow-short-interval': 'true' } }

export const timing: Readonly<Record<string, Cases>> = {
  'interval-format': {
    valid: [{ name: 'a minute' }, { name: 'a minute and a half', analysis: { interval: '1m30s' } }, { name: 'none', analysis: { interval: undefined } }],
    invalid: [
      { name: 'what the pattern lets pass', analysis: { interval: '5mfoo' }, fields: ['spec.analysis.interval'] },
      { name: 'nothing', analysis: { interval: '0s' }, fields: ['spec.analysis.interval'] },
      { name: 'a step without a unit', analysis: { stepWeight: undefined }, spec: { gate: { steps: [{ weight: 5, interval: '30' }] } }, fields: ['spec.gate.steps[0].interval'] },
    ],
  },
  'interval-too-short': {
    valid: [{ name: 'ten seconds', analysis: { interval: '10s' } }],
    invalid: [
      { name: 'five seconds', analysis: { interval: '5s' }, fields: ['spec.analysis.interval'], severity: 'deny' },
      { name: 'half a second', analysis: { interval: '500ms' }, fields: ['spec.analysis.interval'] },
      { name: 'a metric of five seconds', analysis: { metrics: metric({ interval: '5s' }) }, fields: ['spec.analysis.metrics[0].interval'] },
      { name: 'a step of a second', spec: { gate: { steps: [{ weight: 5, interval: '1s' }] } }, fields: ['spec.gate.steps[0].interval'] },
      { name: 'allowed by annotation it is a warning', metadata: SHORT, analysis: { interval: '2s' }, fields: ['spec.analysis.interval'], severity: 'warn' },
      { name: 'any other value of the annotation allows nothing', metadata: { annotations: { 'canarygate.dev/allow-short-interval': 'yes' } }, analysis: { interval: '2s' }, fields: ['spec.analysis.interval'], severity: 'deny' },
    ],
  },
  'short-interval': {
    valid: [{ name: 'half a minute', analysis: { interval: '30s' } }],
    invalid: [{ name: 'a quarter of a minute', analysis: { interval: '15s' }, fields: ['spec.analysis.interval'] }],
  },
  'short-analysis': {
    valid: [{ name: 'five minutes' }, { name: 'five quick checks', analysis: { stepWeight: undefined, maxWeight: undefined, iterations: 5, interval: '15s' } }],
    invalid: [{ name: 'one quick check', analysis: { stepWeight: undefined, maxWeight: undefined, iterations: 1, interval: '15s' }, fields: ['spec.analysis'] }],
  },
  'metric-interval-format': {
    valid: [{ name: 'a minute' }, { name: 'none', analysis: { metrics: metric({}) } }],
    invalid: [{ name: 'what the pattern lets pass', analysis: { metrics: metric({ interval: '1minute' }) }, fields: ['spec.analysis.metrics[0].interval'] }],
  },
  'metric-window-mixes-steps': {
    valid: [{ name: 'as long as the interval' }, { name: 'shorter', analysis: { metrics: metric({ interval: '30s' }) } }],
    invalid: [
      { name: 'longer than the interval', analysis: { interval: '30s', metrics: metric({ interval: '1m' }) }, fields: ['spec.analysis.metrics[0].interval'] },
      { name: 'longer by default', analysis: { interval: '30s', metrics: metric({}) }, fields: ['spec.analysis.metrics[0].interval'] },
    ],
  },
  'threshold-range': {
    valid: [{ name: 'one', analysis: { threshold: 1 } }, { name: 'iterations', analysis: { stepWeight: undefined, maxWeight: undefined, iterations: 1 } }],
    invalid: [
      { name: 'nothing tolerated', analysis: { threshold: 0 }, fields: ['spec.analysis.threshold'] },
      { name: 'less than nothing', analysis: { threshold: -1 }, fields: ['spec.analysis.threshold'] },
      { name: 'negative iterations', analysis: { stepWeight: undefined, maxWeight: undefined, iterations: -1 }, fields: ['spec.analysis.iterations'] },
      { name: 'iterations without an end', analysis: { stepWeight: undefined, maxWeight: undefined, iterations: 100_001 }, fields: ['spec.analysis.iterations'] },
      { name: 'no iterations without a mesh', spec: { provider: 'kubernetes' }, analysis: { stepWeight: undefined, maxWeight: undefined, iterations: 0 }, fields: ['spec.analysis.iterations'] },
    ],
  },
  'threshold-shorter-than-window': {
    valid: [{ name: 'five minutes for one minute' }],
    invalid: [{ name: 'one check of half a minute', analysis: { interval: '30s', threshold: 1, metrics: metric({ interval: '2m' }) }, fields: ['spec.analysis.threshold'] }],
  },
  'lenient-threshold': {
    valid: [{ name: 'five' }, { name: 'ten', analysis: { threshold: 10 } }],
    invalid: [
      { name: 'fifty', analysis: { threshold: 50 }, fields: ['spec.analysis.threshold'] },
      { name: 'ten of ten minutes', analysis: { threshold: 10, interval: '10m' }, fields: ['spec.analysis.threshold'] },
    ],
  },
  'interval-and-threshold-given': {
    valid: [{ name: 'both' }],
    invalid: [{ name: 'neither', analysis: { interval: undefined, threshold: undefined }, fields: ['spec.analysis.interval', 'spec.analysis.threshold'] }],
  },
  'progress-deadline': {
    valid: [
      { name: 'none' }, { name: 'a minute', spec: { progressDeadlineSeconds: 60 } },
      { name: 'longer than minReadySeconds', spec: { progressDeadlineSeconds: 120 }, context: { cluster: clusterOf([], workloadOf('cart', { minReadySeconds: 30 })) } },
    ],
    invalid: [
      { name: 'ten seconds', spec: { progressDeadlineSeconds: 10 }, fields: ['spec.progressDeadlineSeconds'] },
      { name: 'as long as minReadySeconds', spec: { progressDeadlineSeconds: 90 }, fields: ['spec.progressDeadlineSeconds'], context: { cluster: clusterOf([], workloadOf('cart', { minReadySeconds: 90 })) } },
    ],
  },
}
