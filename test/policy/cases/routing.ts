import type { Cases } from '../canaries.ts'

const AB = { stepWeight: undefined, maxWeight: undefined, iterations: 10 }
const inner = (operator = 'exact') => [{ headers: { 'x-ring': { [operator]: 'inner' } } }]
const gateway = { gatewayRefs: [{ name: 'edge', namespace: 'infra' }] }
const KNATIVE = { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name: 'cart' }

export const routing: Readonly<Record<string, Cases>> = {
  'provider-supported': {
    valid: [{ name: 'one that is there' }, { name: 'the default', spec: { provider: undefined } }],
    invalid: [
      { name: 'one that is not there yet', spec: { provider: 'istio' }, context: { providers: { kubernetes: { weights: true, mirror: false, match: false, sessionAffinity: false, services: false } } }, fields: ['spec.provider'] },
      { name: 'a default that is not there', spec: { provider: undefined }, context: { defaultProvider: 'envoy' }, fields: ['spec.provider'] },
      { name: 'a word of every object', spec: { provider: 'constructor' }, fields: ['spec.provider'] },
    ],
  },
  'provider-references': {
    valid: [
      { name: 'traefik needs none' },
      { name: 'nginx with its Ingress', spec: { provider: 'nginx', ingressRef: { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', name: 'cart' } } },
      { name: 'a Gateway', spec: { provider: 'gatewayapi:v1' }, service: gateway },
      { name: 'a mesh', spec: { provider: 'appmesh' }, service: { meshName: 'global' } },
      { name: 'a mesh found by label', spec: { provider: 'appmesh:v1beta2' } },
      { name: 'an ApisixRoute', spec: { provider: 'apisix', routeRef: { apiVersion: 'apisix.apache.org/v2', kind: 'ApisixRoute', name: 'cart' } } },
    ],
    invalid: [
      { name: 'nginx without an Ingress', spec: { provider: 'nginx' }, fields: ['spec.ingressRef'] },
      { name: 'skipper without an Ingress', spec: { provider: 'skipper' }, fields: ['spec.ingressRef'] },
      { name: 'apisix without a route', spec: { provider: 'apisix' }, fields: ['spec.routeRef'] },
      { name: 'no Gateway', spec: { provider: 'gatewayapi:v1' }, fields: ['spec.service.gatewayRefs'] },
      { name: 'an empty list of Gateways', spec: { provider: 'gatewayapi:v1beta1' }, service: { gatewayRefs: [] }, fields: ['spec.service.gatewayRefs'] },
      { name: 'no mesh', spec: { provider: 'appmesh' }, fields: ['spec.service.meshName'] },
    ],
  },
  'match-needs-iterations': {
    valid: [{ name: 'A/B', spec: { provider: 'istio' }, analysis: { ...AB, match: inner() } }, { name: 'an empty list', analysis: { match: [] } }],
    invalid: [{ name: 'weights among matching requests', spec: { provider: 'istio' }, analysis: { match: inner() }, fields: ['spec.analysis.match'] }],
  },
  'match-provider': {
    valid: [
      { name: 'istio', spec: { provider: 'istio' }, analysis: { ...AB, match: inner() } }, { name: 'traefik, which Flagger cannot', analysis: { ...AB, match: inner('prefix') } },
      { name: 'no match' },
    ],
    invalid: [
      { name: 'skipper', spec: { provider: 'skipper' }, analysis: { ...AB, match: inner() }, fields: ['spec.analysis.match'] },
      { name: 'kubernetes', spec: { provider: 'kubernetes' }, analysis: { ...AB, match: inner() }, fields: ['spec.analysis.match'] },
      { name: 'linkerd', spec: { provider: 'linkerd' }, analysis: { ...AB, match: inner() }, fields: ['spec.analysis.match'] },
    ],
  },
  'match-kinds': {
    valid: [
      { name: 'istio takes a suffix', spec: { provider: 'istio' }, analysis: { ...AB, match: inner('suffix') } },
      { name: 'a header and a cookie for nginx', spec: { provider: 'nginx' }, analysis: { ...AB, match: [...inner(), { headers: { cookie: { exact: 'canary' } } }] } },
      { name: 'a query parameter of the Gateway API', spec: { provider: 'gatewayapi:v1' }, analysis: { ...AB, match: [{ queryParams: { ring: { exact: 'inner' } } }] } },
    ],
    invalid: [
      { name: 'a prefix of the Gateway API', spec: { provider: 'gatewayapi:v1' }, analysis: { ...AB, match: inner('prefix') }, fields: ['spec.analysis.match[0].headers[x-ring]'] },
      { name: 'a regex of contour', spec: { provider: 'contour' }, analysis: { ...AB, match: inner('regex') }, fields: ['spec.analysis.match[0].headers[x-ring]'] },
      { name: 'a prefix of gloo', spec: { provider: 'gloo' }, analysis: { ...AB, match: inner('prefix') }, fields: ['spec.analysis.match[0].headers[x-ring]'] },
      { name: 'two headers for nginx', spec: { provider: 'nginx' }, analysis: { ...AB, match: [{ headers: { a: { exact: '1' }, b: { exact: '2' } } }] }, fields: ['spec.analysis.match'] },
      { name: 'source labels of traefik', analysis: { ...AB, match: [{ sourceLabels: { app: 'a' } }] }, fields: ['spec.analysis.match[0].sourceLabels'] },
      { name: 'query parameters for nginx', spec: { provider: 'nginx' }, analysis: { ...AB, match: [{ queryParams: { a: { exact: '1' } } }] }, fields: ['spec.analysis.match[0].queryParams'] },
      { name: 'a key that is pruned', spec: { provider: 'istio' }, analysis: { ...AB, match: [{ uri: { prefix: '/v2' }, ...inner()[0] }] }, fields: ['spec.analysis.match[0].uri'] },
      { name: 'what is left of it matches everything', spec: { provider: 'istio' }, analysis: { ...AB, match: [{}] }, fields: ['spec.analysis.match[0]'] },
      { name: 'a header compared with nothing', spec: { provider: 'istio' }, analysis: { ...AB, match: [{ headers: { a: {} } }] }, fields: ['spec.analysis.match[0].headers[a]'] },
    ],
  },
  'mirror-provider': {
    valid: [
      { name: 'istio with weights', spec: { provider: 'istio' }, analysis: { mirror: true } },
      { name: 'the Gateway API in Blue/Green', spec: { provider: 'gatewayapi:v1' }, service: gateway, analysis: { stepWeight: undefined, maxWeight: undefined, iterations: 5, mirror: true } },
      { name: 'the Gateway API with weights, which Flagger cannot', spec: { provider: 'gatewayapi:v1' }, service: gateway, analysis: { mirror: true } },
      { name: 'traefik, which Flagger cannot', analysis: { mirror: true } },
      { name: 'switched off', analysis: { mirror: false } },
    ],
    invalid: [
      { name: 'nginx', spec: { provider: 'nginx' }, analysis: { mirror: true }, fields: ['spec.analysis.mirror'] },
      { name: 'kubernetes', spec: { provider: 'kubernetes' }, analysis: { mirror: true }, fields: ['spec.analysis.mirror'] },
      { name: 'an A/B test', spec: { provider: 'istio' }, analysis: { ...AB, match: inner(), mirror: true }, fields: ['spec.analysis.mirror'] },
      { name: 'TCP', spec: { provider: 'istio' }, service: { appProtocol: 'TCP' }, analysis: { mirror: true }, fields: ['spec.analysis.mirror'] },
    ],
  },
  'mirror-weight-alone': {
    valid: [{ name: 'with mirror', spec: { provider: 'istio' }, analysis: { mirror: true, mirrorWeight: 10 } }],
    invalid: [{ name: 'alone', analysis: { mirrorWeight: 10 }, fields: ['spec.analysis.mirrorWeight'] }],
  },
  'session-affinity': {
    valid: [{ name: 'istio with weights', spec: { provider: 'istio' }, analysis: { sessionAffinity: { cookieName: 'ring', primaryCookieName: 'ring-primary', maxAge: 3600 } } }],
    invalid: [
      { name: 'one name for two cookies', spec: { provider: 'istio' }, analysis: { sessionAffinity: { cookieName: 'ring', primaryCookieName: 'ring' } }, fields: ['spec.analysis.sessionAffinity.primaryCookieName'] },
      { name: 'a name with a blank', spec: { provider: 'istio' }, analysis: { sessionAffinity: { cookieName: 'my ring' } }, fields: ['spec.analysis.sessionAffinity.cookieName'] },
      { name: 'traefik', analysis: { sessionAffinity: { cookieName: 'ring' } }, fields: ['spec.analysis.sessionAffinity'] },
      { name: 'a router without cookies', spec: { provider: 'nginx' }, analysis: { sessionAffinity: { cookieName: 'ring' } }, fields: ['spec.analysis.sessionAffinity'] },
      { name: 'kubernetes', spec: { provider: 'kubernetes' }, analysis: { sessionAffinity: { cookieName: 'ring' } }, fields: ['spec.analysis.sessionAffinity'] },
      { name: 'Blue/Green', spec: { provider: 'istio' }, analysis: { stepWeight: undefined, maxWeight: undefined, iterations: 5, sessionAffinity: { cookieName: 'ring' } }, fields: ['spec.analysis.sessionAffinity'] },
      { name: 'a cookie that is gone at once', spec: { provider: 'istio' }, analysis: { sessionAffinity: { cookieName: 'ring', maxAge: 0 } }, fields: ['spec.analysis.sessionAffinity.maxAge'] },
    ],
  },
  'knative-target': {
    valid: [{ name: 'no Knative' }, { name: 'both', spec: { provider: 'knative', targetRef: KNATIVE, service: undefined } }],
    invalid: [
      { name: 'a Deployment', spec: { provider: 'knative' }, fields: ['spec.targetRef'] },
      { name: 'another router', spec: { targetRef: KNATIVE }, fields: ['spec.provider'] },
      { name: 'an autoscaler', spec: { provider: 'knative', targetRef: KNATIVE, autoscalerRef: { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', name: 'cart' } }, fields: ['spec.autoscalerRef'] },
    ],
  },
  'delegation': {
    valid: [{ name: 'alone', spec: { provider: 'istio' }, service: { delegation: true } }, { name: 'hosts without it', spec: { provider: 'istio' }, service: { hosts: ['a.test'], gateways: ['mesh'] } }],
    invalid: [{ name: 'hosts and gateways of its own', spec: { provider: 'istio' }, service: { delegation: true, hosts: ['a.test'], gateways: ['mesh'] }, fields: ['spec.service.hosts', 'spec.service.gateways'] }],
  },
  'gateways-without-mesh': {
    valid: [{ name: 'with mesh', spec: { provider: 'istio' }, service: { gateways: ['mesh', 'infra/public'] } }, { name: 'none', spec: { provider: 'istio' } }],
    invalid: [{ name: 'a gateway alone', spec: { provider: 'istio' }, service: { gateways: ['infra/public'] }, fields: ['spec.service.gateways'] }],
  },
  'service-port': {
    valid: [{ name: 'port 80' }],
    invalid: [
      { name: 'no service', spec: { service: undefined }, fields: ['spec.service.port'] },
      { name: 'port 0', service: { port: 0 }, fields: ['spec.service.port'] },
      { name: 'port 70000', service: { port: 70_000 }, fields: ['spec.service.port'] },
    ],
  },
  'service-timeouts': {
    valid: [{ name: 'a quarter of a minute', service: { timeout: '15s', backendTimeout: '500ms', retries: { attempts: 3, perTryTimeout: '1s' } } }],
    invalid: [{ name: 'numbers without a unit', service: { timeout: '15', retries: { perTryTimeout: 'fast' } }, fields: ['spec.service.timeout', 'spec.service.retries.perTryTimeout'] }],
  },
}
