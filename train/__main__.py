from segnet_live.system.exit import leave
from train.cli import main

leave(main())
