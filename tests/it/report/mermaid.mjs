// Has Mermaid's own parser read what it is given: mermaid.mjs MERMAID SOURCES, where SOURCES is a file
// with a JSON list of texts. Prints a list of the same length: the kind of each, or what is wrong.
//
// Mermaid is made for browsers. The little of one that it asks for while it reads stands below; text
// without `<` passes its sanitizer as it is, and there is none in ours.
import fs from 'node:fs';
import vm from 'node:vm';

const [mermaid, sources] = process.argv.slice(2);
class Element {
  cloneNode() {}
  remove() {}
  get nextSibling() {}
  get childNodes() {}
  get parentNode() {}
}
const document = {
  nodeType: 9,
  implementation: { createHTMLDocument() {} },
  createElement: () => ({ content: {} }),
  createNodeIterator() {},
  createDocumentFragment() {},
  getElementsByTagName: () => [],
  importNode() {},
};
Object.assign(globalThis, {
  window: globalThis, document, Element, Node: Element, NodeFilter: {}, DOMParser: class {},
  HTMLFormElement: class {}, HTMLTemplateElement: class {}, addEventListener() {},
});
vm.runInThisContext(fs.readFileSync(mermaid, 'utf8'));
const said = [];
for (const text of JSON.parse(fs.readFileSync(sources, 'utf8'))) {
  try {
    said.push((await globalThis.mermaid.parse(text)).diagramType);
  } catch (error) {
    said.push(String(error.message));
  }
}
console.log(JSON.stringify(said));
