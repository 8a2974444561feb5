import { type Attribute, textAttribute } from "./message.js";

/** struct tcmsg: u8 family, 3 bytes of padding, i32 interface, u32 handle, u32 parent, u32 info. */
const TCMSG_BYTES = 20;
/** Of include/uapi/linux/pkt_sched.h: the place for what comes in, and the handle of the discipline that is there. */
const TC_H_INGRESS = 0xfffffff1;
const INGRESS_HANDLE = 0xffff0000;

const TCA_KIND = 1;
const TCA_OPTIONS = 2;

/** tc_u32_sel with one key that matches everything, of include/uapi/linux/pkt_cls.h: tc-u32(8) writes it `match u8 0 0`. */
const TCA_U32_SEL = 5;
const TCA_U32_ACT = 7;
const TC_U32_TERMINAL = 1;
const SELECTOR_BYTES = 16 + 16;

const TCA_ACT_KIND = 1;
const TCA_ACT_OPTIONS = 2;
const TCA_MIRRED_PARMS = 2;
const TC_ACT_STOLEN = 4;
const TCA_EGRESS_REDIR = 1;
/** tc_mirred: five numbers that every action has, then what it does and where to. */
const MIRRED_BYTES = 7 * 4;

/** ETH_P_ALL in network byte order, in the lower half of tcmsg's info; the priority is in the upper one. */
const PRIORITY_1_ALL_PROTOCOLS = (1 << 16) | 0x0300;

/** For RTM_NEWQDISC and RTM_DELQDISC: the discipline that filters may be hung on for what comes in at an interface. */
export function encodeIngress(linkIndex: number): [Buffer, Attribute[]] {
  return [tcmsg(linkIndex, INGRESS_HANDLE, TC_H_INGRESS, 0), [textAttribute(TCA_KIND, "ingress")]];
}

/**
 * For RTM_NEWTFILTER: whatever comes in at one interface, which has the ingress discipline, goes out at the other one. As
 * `tc filter add dev FROM parent ffff: protocol all u32 match u8 0 0 action mirred egress redirect dev TO`.
 */
export function encodeRedirect(fromIndex: number, toIndex: number): [Buffer, Attribute[]] {
  const selector = Buffer.alloc(SELECTOR_BYTES);
  selector.writeUInt8(TC_U32_TERMINAL, 0);
  selector.writeUInt8(1, 2);
  const mirred = Buffer.alloc(MIRRED_BYTES);
  mirred.writeInt32LE(TC_ACT_STOLEN, 8);
  mirred.writeInt32LE(TCA_EGRESS_REDIR, 20);
  mirred.writeUInt32LE(toIndex, 24);
  const action: Attribute[] = [
    textAttribute(TCA_ACT_KIND, "mirred"),
    [TCA_ACT_OPTIONS, [[TCA_MIRRED_PARMS, mirred]]],
  ];
  return [
    tcmsg(fromIndex, 0, INGRESS_HANDLE, PRIORITY_1_ALL_PROTOCOLS),
    [
      textAttribute(TCA_KIND, "u32"),
      [
        TCA_OPTIONS,
        [
          [TCA_U32_SEL, selector],
          // Actions have their order for a type.
          [TCA_U32_ACT, [[1, action]]],
        ],
      ],
    ],
  ];
}

function tcmsg(linkIndex: number, handle: number, parent: number, info: number): Buffer {
  const body = Buffer.alloc(TCMSG_BYTES);
  body.writeInt32LE(linkIndex, 4);
  body.writeUInt32LE(handle, 8);
  body.writeUInt32LE(parent, 12);
  body.writeUInt32LE(info, 16);
  return body;
}
