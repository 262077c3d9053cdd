import { Type } from 'typebox'
import { test } from 'tap'
import { structural } from '../../scripts/generate/structural.ts'

const translated = [
  { name: 'an enum gets its type', from: Type.Enum(['a', 'b']), to: { type: 'string', enum: ['a', 'b'] } },
  { name: 'a union of literals becomes an enum', from: Type.Union([Type.Literal('a'), Type.Literal('b')]), to: { type: 'string', enum: ['a', 'b'] } },
  { name: 'a literal becomes an enum of one', from: Type.Literal(3), to: { type: 'integer', enum: [3] } },
  { name: 'a record becomes additionalProperties', from: Type.Record(Type.String(), Type.Integer()), to: { type: 'object', additionalProperties: { type: 'integer' } } },
  {
    name: 'an int-or-string loses its union',
    from: Type.Union([Type.Integer(), Type.String()], { 'x-kubernetes-int-or-string': true }),
    to: { 'x-kubernetes-int-or-string': true },
  },
  { name: 'an exclusive bound becomes a flag', from: Type.Number({ exclusiveMinimum: 0, maximum: 1 }), to: { type: 'number', maximum: 1, minimum: 0, exclusiveMinimum: true } },
  {
    name: 'an object keeps required and nested properties',
    from: Type.Object({ a: Type.String({ minLength: 1 }), b: Type.Optional(Type.Array(Type.Boolean(), { maxItems: 3 })) }),
    to: {
      type: 'object', required: ['a'],
      properties: { a: { type: 'string', minLength: 1 }, b: { type: 'array', maxItems: 3, items: { type: 'boolean' } } },
    },
  },
  {
    name: 'an open object stays open',
    from: Type.Object({}, { 'x-kubernetes-preserve-unknown-fields': true }),
    to: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
  },
]
for (const { name, from, to } of translated) test(name, async (t) => { t.strictSame(structural(from), to) })

const refused = [
  { name: 'an unknown keyword', from: Type.Array(Type.String(), { uniqueItems: true }), says: /uniqueItems/ },
  { name: 'a union of objects', from: Type.Union([Type.Object({ a: Type.String() }), Type.Object({ b: Type.String() })]), says: /union/ },
  { name: 'a node without a type', from: Type.Unknown(), says: /one type/ },
  { name: 'an object whose fields would all be pruned', from: Type.Object({}), says: /pruned/ },
  { name: 'a map with a pattern for its keys', from: Type.Record(Type.String({ pattern: '^x-' }), Type.String()), says: /pattern/ },
  { name: 'literals of two types', from: Type.Union([Type.Literal('a'), Type.Literal(1)]), says: /one type/ },
  { name: 'additionalProperties beside properties', from: Type.Object({ a: Type.String() }, { additionalProperties: false }), says: /additionalProperties|schema/ },
]
for (const { name, from, says } of refused) test(`${name} is refused`, async (t) => { t.throws(() => structural(from), { message: says }) })

test('the path of what is refused is named', async (t) => {
  t.throws(() => structural(Type.Object({ deep: Type.Array(Type.Unknown()) }), 'Canary.spec'), { message: /Canary\.spec\.deep\[\]/ })
})
