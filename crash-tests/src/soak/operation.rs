//! What a worker can do, by name.

macro_rules! operations {
    ($($operation:ident: $text:literal,)*) => {
        /// What a thread of a worker does; also what it was doing when it was killed.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u32)]
        pub enum Operation {
            $(#[doc = $text] $operation,)*
        }

        impl Operation {
            pub const ALL: &[Operation] = &[$(Operation::$operation,)*];

            pub fn text(self) -> &'static str {
                match self {
                    $(Operation::$operation => $text,)*
                }
            }
        }
    };
}

operations! {
    Between: "between two operations",
    Attach: "attach",
    Detach: "detach",
    EndThread: "end a thread",
    Take: "take a private block and publish it",
    TakeRun: "take a private run and publish it",
    Allocate: "allocate a raw block",
    Zeroed: "allocate a zeroed block",
    Free: "free a raw block",
    Mail: "leave something to another process",
    Collect: "free what another process left",
    Resize: "resize in place",
    Hold: "allocate a private block",
    Release: "free a private block",
    PassOn: "free a private block of another thread",
    Own: "construct a private value",
    Disown: "drop a private value",
    PublishOne: "publish a value",
    PublishSlice: "publish a slice",
    Destroy: "destroy a published value",
    Find: "find a name",
    Construct: "construct a name",
    FindOrConstruct: "find or construct a name",
    DestroyName: "destroy a name",
    Keep: "construct a name of its own",
    Forget: "destroy a name of its own",
    Unique: "find, construct or destroy the unique instance",
    Trim: "trim",
    Recover: "recover",
}

pub const OPERATIONS: usize = Operation::ALL.len();
