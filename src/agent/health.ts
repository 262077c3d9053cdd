import Fastify, { type FastifyInstance } from 'fastify'

export type HealthOptions = {
  readonly isReady: () => boolean
  readonly metrics: () => string
}

/** Probes and metrics over plain HTTP. */
export function createHealthServer({ isReady, metrics }: HealthOptions): FastifyInstance {
  const app = Fastify({ logger: false, return503OnClosing: false })
  app.get('/healthz', (_request, reply) => reply.send('ok'))
  app.get('/readyz', (_request, reply) => (isReady() ? reply.send('ok') : reply.code(503).send('caches are not filled yet')))
  app.get('/metrics', (_request, reply) => reply.type('text/plain; version=0.0.4').send(metrics()))
  return app
}
