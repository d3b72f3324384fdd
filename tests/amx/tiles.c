// A module that switches AMX's tiles on. Linux does so itself where the processor can defer them (XFD).
#include <linux/module.h>

#include <asm/fpu/xcr.h>

static int __init enable_tiles(void) {
  xsetbv(XCR_XFEATURE_ENABLED_MASK, xgetbv(XCR_XFEATURE_ENABLED_MASK) | 1 << 17 | 1 << 18);
  return 0;
}
module_init(enable_tiles);
MODULE_LICENSE("GPL");
