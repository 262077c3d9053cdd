import { clusterOf, workloadOf, type Cases } from '../canaries.ts'

export const weights: Readonly<Record<string, Cases>> = {
  'analysis-present': {
    valid: [{ name: 'an analysis' }],
    invalid: [{ name: 'no analysis at all', spec: { analysis: undefined }, fields: ['spec.analysis'] }],
  },
  'whole-numbers': {
    valid: [
      { name: 'whole numbers', analysis: { stepWeight: 10, threshold: 3 } },
      { name: 'a fraction where one makes sense', analysis: { metrics: [{ name: 'request-success-rate', thresholdRange: { min: 99.9 } }] } },
    ],
    invalid: [
      { name: 'half a step', analysis: { stepWeight: 2.5 }, fields: ['spec.analysis.stepWeight'] },
      { name: 'one and a half failures', analysis: { threshold: 1.5 }, fields: ['spec.analysis.threshold'] },
      { name: 'a third as maximum', analysis: { maxWeight: 33.3 }, fields: ['spec.analysis.maxWeight'] },
      { name: 'a deadline with half a second', spec: { progressDeadlineSeconds: 60.5 }, fields: ['spec.progressDeadlineSeconds'] },
      { name: 'a fraction in the list', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [1, 2.5, 10] }, fields: ['spec.analysis.stepWeights[1]'] },
      { name: 'a port and a half', service: { port: 80.5 }, fields: ['spec.service.port'] },
      { name: 'a fraction of a retry', analysis: { webhooks: [{ name: 'load', url: 'http://load.test/', retries: 0.5, timeout: '1s' }] }, fields: ['spec.analysis.webhooks[0].retries'] },
      { name: 'a number beyond what is whole', analysis: { mirrorWeight: 1e300 }, fields: ['spec.analysis.mirrorWeight'] },
      {
        name: 'all of them at once', fields: ['spec.analysis.stepWeight', 'spec.analysis.maxWeight', 'spec.analysis.primaryReadyThreshold'],
        analysis: { stepWeight: 2.5, maxWeight: 33.3, primaryReadyThreshold: 99.5 },
      },
    ],
  },
  'weight-bounds': {
    valid: [
      { name: 'one percent', analysis: { stepWeight: 1 } },
      { name: 'a hundred percent', analysis: { stepWeight: 100, maxWeight: 100 } },
      { name: 'shifting back at once', analysis: { stepWeightPromotion: 0 } },
      { name: 'a half mirrored', analysis: { mirror: true, mirrorWeight: 50 } },
    ],
    invalid: [
      { name: 'a step of nothing never moves', analysis: { stepWeight: 0 }, fields: ['spec.analysis.stepWeight'] },
      { name: 'a step backwards', analysis: { stepWeight: -10 }, fields: ['spec.analysis.stepWeight'] },
      { name: 'a maximum that is never reached', analysis: { maxWeight: 150 }, fields: ['spec.analysis.maxWeight'] },
      { name: 'a maximum of nothing', analysis: { maxWeight: 0 }, fields: ['spec.analysis.maxWeight'] },
      { name: 'promotion above 100', analysis: { stepWeightPromotion: 101 }, fields: ['spec.analysis.stepWeightPromotion'] },
      { name: 'mirroring above 100', analysis: { mirrorWeight: 101 }, fields: ['spec.analysis.mirrorWeight'] },
    ],
  },
  'step-above-max': {
    valid: [{ name: 'one step to the maximum', analysis: { stepWeight: 50, maxWeight: 50 } }, { name: 'no maximum', analysis: { stepWeight: 60, maxWeight: undefined } }],
    invalid: [{ name: 'a step above the maximum', analysis: { stepWeight: 60, maxWeight: 50 }, fields: ['spec.analysis.stepWeight'] }],
  },
  'ready-threshold-range': {
    valid: [{ name: 'four pods of five', analysis: { primaryReadyThreshold: 80, canaryReadyThreshold: 100 } }],
    invalid: [
      { name: 'ready without a pod', analysis: { canaryReadyThreshold: 0 }, fields: ['spec.analysis.canaryReadyThreshold'] },
      { name: 'never ready', analysis: { primaryReadyThreshold: 101 }, fields: ['spec.analysis.primaryReadyThreshold'] },
    ],
  },
  'step-weights-rising': {
    valid: [
      { name: 'rising weights', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [1, 5, 25, 50] } },
      { name: 'one weight', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [20] } },
      { name: 'rising steps of the gate', analysis: { stepWeight: undefined, maxWeight: undefined }, spec: { gate: { steps: [{ weight: 5 }, { weight: 25 }] } } },
    ],
    invalid: [
      { name: 'weights out of order', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [10, 50, 20] }, fields: ['spec.analysis.stepWeights'] },
      { name: 'a weight twice', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [10, 10, 20] }, fields: ['spec.analysis.stepWeights'] },
      { name: 'no weights', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [] }, fields: ['spec.analysis.stepWeights'] },
      { name: 'more than everything', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [50, 120] }, fields: ['spec.analysis.stepWeights'] },
      { name: 'nothing as a weight', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [0, 10] }, fields: ['spec.analysis.stepWeights'] },
      { name: 'falling steps of the gate', analysis: { stepWeight: undefined, maxWeight: undefined }, spec: { gate: { steps: [{ weight: 25 }, { weight: 5 }] } }, fields: ['spec.gate.steps'] },
    ],
  },
  'max-weight-ignored': {
    valid: [{ name: 'a maximum with a step' }, { name: 'weights alone', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [10, 20] } }],
    invalid: [
      { name: 'a maximum beside a list', analysis: { stepWeight: undefined, stepWeights: [10, 20], maxWeight: 50 }, fields: ['spec.analysis.maxWeight'] },
      { name: 'a maximum beside iterations', analysis: { stepWeight: undefined, iterations: 10, maxWeight: 50 }, fields: ['spec.analysis.maxWeight'] },
    ],
  },
  'weight-overshoot': {
    valid: [{ name: 'a multiple', analysis: { stepWeight: 25, maxWeight: 50 } }, { name: 'more than everything', analysis: { stepWeight: 50, maxWeight: 120 } }],
    invalid: [{ name: '30 and 50', analysis: { stepWeight: 30, maxWeight: 50 }, fields: ['spec.analysis.maxWeight'] }],
  },
  'one-strategy': {
    valid: [
      { name: 'steps' },
      { name: 'a list', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [10, 20] } },
      { name: 'iterations', analysis: { stepWeight: undefined, maxWeight: undefined, iterations: 10 } },
      { name: 'steps of the gate', analysis: { stepWeight: undefined, maxWeight: undefined }, spec: { gate: { steps: [{ weight: 10 }] } } },
    ],
    invalid: [
      { name: 'no way to advance', analysis: { stepWeight: undefined, maxWeight: undefined }, fields: ['spec.analysis'] },
      { name: 'steps and a list', analysis: { stepWeights: [10, 25, 50, 90] }, fields: ['spec.analysis'] },
      { name: 'steps and iterations', analysis: { iterations: 10 }, fields: ['spec.analysis'] },
      { name: 'steps and steps of the gate', spec: { gate: { steps: [{ weight: 10 }] } }, fields: ['spec.analysis'] },
    ],
  },
  'full-traffic-without-hold': {
    valid: [
      { name: 'half of it' },
      { name: 'all of it after a wait', analysis: { maxWeight: 100 }, spec: { gate: { atMaxWeight: 'wait' } } },
      { name: 'all of it after an approval', analysis: { maxWeight: 100, webhooks: [{ name: 'ask', type: 'confirm-promotion', url: 'http://gate.test/gate/check' }] } },
      { name: 'Blue/Green switches by design', analysis: { stepWeight: undefined, maxWeight: undefined, iterations: 5 } },
    ],
    invalid: [
      { name: 'all of it', analysis: { maxWeight: 100 }, fields: ['spec.analysis.maxWeight'] },
      { name: 'all of it by default', analysis: { maxWeight: undefined }, fields: ['spec.analysis.maxWeight'] },
      { name: 'all of it at the end of a list', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [10, 100] }, fields: ['spec.analysis.stepWeights[1]'] },
    ],
  },
  'large-first-step': {
    valid: [{ name: 'ten percent' }, { name: 'a quarter', analysis: { stepWeight: 25 } }],
    invalid: [
      { name: 'half of the users at once', analysis: { stepWeight: 50 }, fields: ['spec.analysis.stepWeight'] },
      { name: 'half of them in a list', analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [50, 60] }, fields: ['spec.analysis.stepWeights[0]'] },
    ],
  },
  'replica-weights': {
    valid: [
      { name: 'a router splits requests, not pods', context: { cluster: clusterOf([], workloadOf('cart', { replicas: 2 })) } },
      { name: 'nine pods and a tenth', spec: { provider: 'kubernetes' }, analysis: { stepWeight: 10, maxWeight: 10 }, context: { cluster: clusterOf([], workloadOf('cart', { replicas: 9 })) } },
      { name: 'Blue/Green has no weights', spec: { provider: 'kubernetes' }, analysis: { stepWeight: undefined, maxWeight: undefined, iterations: 5 }, context: { cluster: clusterOf([], workloadOf('cart', { replicas: 2 })) } },
      { name: 'offline nothing is known', spec: { provider: 'kubernetes' } },
    ],
    invalid: [
      { name: 'ten percent of three pods', spec: { provider: 'kubernetes' }, analysis: { stepWeight: 10, maxWeight: 10 }, fields: ['spec.analysis.stepWeight'], context: { cluster: clusterOf([], workloadOf('cart', { replicas: 3 })) } },
      {
        name: 'an adopted target has its count in an annotation', spec: { provider: 'kubernetes' }, fields: ['spec.analysis.stepWeight'],
        analysis: { stepWeight: 10, maxWeight: 10 },
        context: { cluster: clusterOf([], workloadOf('cart', { replicas: 0 }, 'Deployment', { 'canarygate.dev/replicas': '2' })) },
      },
      {
        name: 'pods cannot serve more than half beside a whole primary', spec: { provider: 'kubernetes' }, fields: ['spec.analysis.stepWeights'],
        analysis: { stepWeight: undefined, maxWeight: undefined, stepWeights: [80] }, context: { cluster: clusterOf([], workloadOf('cart', { replicas: 50 })) },
      },
    ],
  },
}
